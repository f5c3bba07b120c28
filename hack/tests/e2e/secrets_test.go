package e2e

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// keepSecret adds a secret that must not be in any object or log.
func (s *suite) keepSecret(secret string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.secrets = append(s.secrets, secret)
}

// betrayed returns the first secret that the text contains, plain or in base64.
func (s *suite) betrayed(text string) (string, bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	at := slices.IndexFunc(s.secrets, func(secret string) bool {
		return strings.Contains(text, secret) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(secret)))
	})
	if at < 0 {
		return "", false
	}
	return s.secrets[at], true
}

// kinds are the kinds whose objects are searched: all that the operator or a runner can
// write, or cause to be written.
func kinds() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{
		{Group: "jobs.openradius.io", Version: "v1alpha1", Kind: "Workspace"},
		{Group: "jobs.openradius.io", Version: "v1alpha1", Kind: "WorkspaceJob"},
		{Group: "batch", Version: "v1", Kind: "Job"},
		{Version: "v1", Kind: "Pod"},
		{Version: "v1", Kind: "Event"},
		{Version: "v1", Kind: "ConfigMap"},
		{Group: "events.k8s.io", Version: "v1", Kind: "Event"},
	}
}

// checkSecrets fails the test if a password is in an object of the namespace or in a log of
// its pods.
func (s *suite) checkSecrets(t *testing.T, namespace string) {
	t.Helper()
	ctx := context.Background()
	for _, kind := range kinds() {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)
		var options []client.ListOption
		if kind.Kind != "Workspace" {
			options = append(options, client.InNamespace(namespace))
		}
		if err := s.client.List(ctx, list, options...); err != nil {
			t.Errorf("list %s: %v", kind.Kind, err)
			continue
		}
		for i := range list.Items {
			text, err := yaml.Marshal(list.Items[i].Object)
			if err != nil {
				t.Error(err)
			}
			if secret, found := s.betrayed(string(text)); found {
				t.Errorf("%s %q contains the password %q:\n%s", kind.Kind, list.Items[i].GetName(), secret, text)
			}
		}
	}
	for name, log := range s.podLogs(ctx, namespace) {
		if secret, found := s.betrayed(log); found {
			t.Errorf("the log of pod %q contains the password %q:\n%s", name, secret, log)
		}
	}
}

// checkOperatorLog checks that no password is in the operator's log, and that the operator
// lacks no right.
func (s *suite) checkOperatorLog(ctx context.Context) error {
	log, err := s.operatorLog(ctx)
	if err != nil {
		return err
	}
	if log == "" {
		return errors.New("the operator's log is empty")
	}
	if secret, found := s.betrayed(log); found {
		return fmt.Errorf("the operator's log contains the password %q", secret)
	}
	for line := range strings.Lines(log) {
		if strings.Contains(line, "is forbidden: User") {
			return fmt.Errorf("the operator lacks a right: %s", line)
		}
	}
	return nil
}
