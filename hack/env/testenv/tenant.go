package testenv

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
)

// MakeTenant makes a Workspace with the ServiceAccounts viewer and editor as its members,
// and waits until the operator has made it ready.
func (e *Env) MakeTenant(ctx context.Context, name string) error {
	namespace := "workspace-" + name
	ws := objects.MakeWorkspace(name).
		MemberSubjects(v1alpha1.RoleViewer, objects.Account(namespace, "viewer")).
		MemberSubjects(v1alpha1.RoleEditor, objects.Account(namespace, "editor")).Obj()
	if err := e.MakeReady(ctx, ws); err != nil {
		return err
	}
	return errors.Join(e.MakeAccount(ctx, namespace, "viewer"), e.MakeAccount(ctx, namespace, "editor"))
}

// MakeReady creates a Workspace, and waits until the operator has made it ready. A node has
// to run its migration.
func (e *Env) MakeReady(ctx context.Context, ws *v1alpha1.Workspace) error {
	if err := e.Client.Create(ctx, ws); err != nil {
		return err
	}
	return e.WaitReady(ctx, ws)
}

// WaitReady waits until a Workspace is ready, and reads it.
func (e *Env) WaitReady(ctx context.Context, ws *v1alpha1.Workspace) error {
	err := wait.PollUntilContextTimeout(ctx, pollInterval, PollLimit, true, func(ctx context.Context) (bool, error) {
		err := e.Client.Get(ctx, client.ObjectKeyFromObject(ws), ws)
		return err == nil && meta.IsStatusConditionTrue(ws.Status.Conditions, v1alpha1.ConditionReady), err
	})
	if err != nil {
		return fmt.Errorf("workspace %s is not ready: %w: %+v", ws.Name, err, ws.Status.Conditions)
	}
	return nil
}

// EndMigration plays the kubelet where there is no node: it makes the Workspace's newest
// migration succeed.
func (e *Env) EndMigration(t testing.TB, ws *v1alpha1.Workspace) {
	t.Helper()
	var jobs batchv1.JobList
	Eventually(t, "the migration of Workspace "+ws.Name+" has a Job", func(ctx context.Context) error {
		err := e.Client.List(ctx, &jobs, client.InNamespace(ws.NamespaceName()))
		if err == nil && len(jobs.Items) != 1 {
			err = fmt.Errorf("%d Jobs", len(jobs.Items))
		}
		return err
	})
	e.EndPod(t, e.PodOf(t, &jobs.Items[0]), 0, `{"result":{"schemaVersion":7}}`)
}

// Hold plays the workspace controller where it doesn't run: it makes an existing Workspace
// ready, as the holder of its namespace.
func (e *Env) Hold(ctx context.Context, ws *v1alpha1.Workspace) error {
	before := ws.DeepCopy()
	ws.Status = v1alpha1.WorkspaceStatus{ObservedGeneration: ws.Generation, Namespace: ws.NamespaceName(), Conditions: []metav1.Condition{{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady,
		ObservedGeneration: ws.Generation, LastTransitionTime: metav1.Now(),
	}}}
	return e.Client.Status().Patch(ctx, ws, client.MergeFrom(before))
}

// MakeAccount makes a ServiceAccount.
func (e *Env) MakeAccount(ctx context.Context, namespace, name string) error {
	return e.Client.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
}

// Token returns a token of a ServiceAccount, as `kubectl create token` does.
func (e *Env) Token(ctx context.Context, namespace, account string) (string, error) {
	return e.tokenFor(ctx, namespace, account, time.Hour)
}

func (e *Env) tokenFor(ctx context.Context, namespace, account string, life time.Duration) (string, error) {
	clientset, err := kubernetes.NewForConfig(e.Config)
	if err != nil {
		return "", err
	}
	made, err := clientset.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, account, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: new(int64(life / time.Second))},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return made.Status.Token, nil
}
