package e2e

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// diagnose prints everything that may explain why a test failed in a namespace.
func (s *suite) diagnose(t *testing.T, namespace string) {
	t.Helper()
	ctx := context.Background()
	var text strings.Builder
	show := func(title, body string, err error) {
		if err != nil {
			body = err.Error()
		}
		fmt.Fprintf(&text, "\n--- %s\n%s\n", title, body)
	}
	for _, args := range [][]string{
		{"get", "workspaces", "-o", "wide"},
		{"-n", namespace, "get", "workspacejobs,jobs,pods", "-o", "wide"},
		{"-n", namespace, "describe", "workspacejobs"},
		{"-n", namespace, "get", "events", "--sort-by=.metadata.creationTimestamp"},
	} {
		output, err := s.kubectl(ctx, args...)
		show("kubectl "+strings.Join(args, " "), output, err)
	}
	for name, log := range s.podLogs(ctx, namespace) {
		show("log of pod "+name, log, nil)
	}
	log, err := s.operatorLog(ctx)
	show("the operator's log", lastLines(log, 60), err)
	t.Log(text.String())
}

// podLogs returns the logs of a namespace's pods, by pod, of containers that have started.
func (s *suite) podLogs(ctx context.Context, namespace string) map[string]string {
	var pods corev1.PodList
	if err := s.client.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
		return map[string]string{"(no list)": err.Error()}
	}
	logs := map[string]string{}
	for i := range pods.Items {
		pod := &pods.Items[i]
		for _, status := range pod.Status.ContainerStatuses {
			if status.ContainerID == "" {
				continue
			}
			log, err := s.log(ctx, pod, corev1.PodLogOptions{Container: status.Name})
			if err != nil {
				log = err.Error()
			}
			logs[pod.Name] = log
		}
	}
	return logs
}

func (s *suite) log(ctx context.Context, pod *corev1.Pod, options corev1.PodLogOptions) (string, error) {
	stream, err := s.clientset.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &options).Stream(ctx)
	if err != nil {
		return "", err
	}
	defer stream.Close()
	text, err := io.ReadAll(stream)
	return string(text), err
}

// operatorLog returns the log of the operator's container, and of the previous one if that
// was killed.
func (s *suite) operatorLog(ctx context.Context) (string, error) {
	var pods corev1.PodList
	if err := s.client.List(ctx, &pods, client.InNamespace(operatorNamespace)); err != nil {
		return "", err
	}
	var all strings.Builder
	for i := range pods.Items {
		pod := &pods.Items[i]
		for _, previous := range []bool{true, false} {
			if previous && (len(pod.Status.ContainerStatuses) == 0 || pod.Status.ContainerStatuses[0].RestartCount == 0) {
				continue
			}
			log, err := s.log(ctx, pod, corev1.PodLogOptions{Previous: previous})
			if err != nil {
				return all.String(), err
			}
			all.WriteString(log)
		}
	}
	return all.String(), nil
}

func lastLines(text string, count int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}
