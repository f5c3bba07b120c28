package testenv

import (
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// MakeTenant makes a Workspace with the ServiceAccounts viewer and editor as its members,
// and waits until the operator has made it ready.
func (e *Env) MakeTenant(ctx context.Context, name string) error {
	namespace := "workspace-" + name
	member := func(role v1alpha1.MemberRole, account string) v1alpha1.Member {
		return v1alpha1.Member{Role: role, Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: account}}}
	}
	ws := &v1alpha1.Workspace{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.WorkspaceSpec{
			Database: v1alpha1.Database{SecretRef: v1alpha1.SecretKeyRef{Name: "database"}, Egress: []v1alpha1.EgressRule{{}}},
			Runner:   v1alpha1.Runner{Image: "registry.example.net/runner:1"},
			Members:  []v1alpha1.Member{member(v1alpha1.RoleViewer, "viewer"), member(v1alpha1.RoleEditor, "editor")},
		},
	}
	if err := e.Client.Create(ctx, ws); err != nil {
		return err
	}
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, PollLimit, true, func(ctx context.Context) (bool, error) {
		err := e.Client.Get(ctx, client.ObjectKeyFromObject(ws), ws)
		return err == nil && meta.IsStatusConditionTrue(ws.Status.Conditions, v1alpha1.ConditionReady), err
	})
	if err != nil {
		return fmt.Errorf("workspace %s is not ready: %w: %+v", name, err, ws.Status.Conditions)
	}
	for _, account := range []string{"viewer", "editor"} {
		if err := e.MakeAccount(ctx, namespace, account); err != nil {
			return err
		}
	}
	return nil
}

// MakeAccount makes a ServiceAccount.
func (e *Env) MakeAccount(ctx context.Context, namespace, name string) error {
	return e.Client.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
}

// Token of a ServiceAccount, as `kubectl create token` gives it.
func (e *Env) Token(ctx context.Context, namespace, account string) (string, error) {
	clientset, err := kubernetes.NewForConfig(e.Config)
	if err != nil {
		return "", err
	}
	token, err := clientset.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return token.Status.Token, nil
}
