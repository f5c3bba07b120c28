package testenv

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// AwaitRetry makes a scheduled job wait for a retry that is due in an hour. It writes the
// status that the operator would write after a failed attempt, and the operator keeps it.
func (e *Env) AwaitRetry(ctx context.Context, namespace, name string) error {
	operator, err := e.ClientAs(ManagerUser, "system:authenticated")
	if err != nil {
		return err
	}
	job := &v1alpha1.WorkspaceJob{}
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, PollLimit, true, func(ctx context.Context) (bool, error) {
		err := e.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, job)
		return err == nil && job.Status.State == v1alpha1.StateScheduled, err
	})
	if err != nil {
		return fmt.Errorf("job %q is not Scheduled: %w", name, err)
	}
	status := fmt.Sprintf(`{"status":{"runAttempts":1,"nextAttemptAt":%q}}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	return operator.Status().Patch(ctx, job, client.RawPatch(types.MergePatchType, []byte(status)))
}
