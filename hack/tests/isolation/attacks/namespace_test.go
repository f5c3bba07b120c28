package attacks

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// TestANamespaceMayHaveAnyName checks that the operator, within the admission policies, runs
// jobs in a namespace with a name of its own, whether it creates or adopts it, and with
// everything that a Workspace can name.
func TestANamespaceMayHaveAnyName(t *testing.T) {
	t.Parallel()
	for name, adopter := range map[string]string{"any-fresh": "", "any-adopted": testenv.AdminUser} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
				Name: "tenants-" + name, Labels: map[string]string{v1alpha1.LabelWorkspace: name},
				Annotations: map[string]string{v1alpha1.AnnotationAdoptedBy: adopter},
			}}
			if adopter != "" {
				if err := shared.Env(t).Client.Create(t.Context(), namespace); err != nil {
					t.Fatal(err)
				}
			}
			tn := newTenant(t, name, func(ws *v1alpha1.Workspace) {
				ws.Spec.Namespace = namespace.Name
				ws.Spec.Database.SecretRef = v1alpha1.SecretKeyRef{Name: "another.database", Key: "URL"}
				ws.Spec.Database.Schema, ws.Spec.Database.AllowSuperuser = "ledger", true
				ws.Spec.Runner.Secrets = []string{"crm", "erp.example"}
				ws.Spec.Runner.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "registry"}}
			})
			ws := &v1alpha1.Workspace{}
			if err := tn.admin.Get(t.Context(), client.ObjectKey{Name: name}, ws); err != nil || ws.Status.AdoptedBy != adopter {
				t.Errorf("%v; adopted by %q, not %q", err, ws.Status.AdoptedBy, adopter)
			}
			if err := tn.editor.Create(t.Context(), tn.job("runs")); err != nil {
				t.Fatal(err)
			}
			tn.waitState("runs", v1alpha1.StateSucceeded)
		})
	}
}
