package runnerjob

import (
	"strconv"
	"strings"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// Permits returns the annotations of ws's namespace that say what its Jobs may use. The
// admission policies keep them true and compare the Jobs with them, because a policy that
// read the Workspaces would be evaluated once for each of them. See config/policies.
func Permits(ws *v1alpha1.Workspace) map[string]string {
	database := ws.Spec.Database
	pull := make([]string, 0, len(ws.Spec.Runner.ImagePullSecrets))
	for _, secret := range ws.Spec.Runner.ImagePullSecrets {
		pull = append(pull, secret.Name)
	}
	return map[string]string{
		v1alpha1.AnnotationRunnerImage: ws.Spec.Runner.Image,
		v1alpha1.AnnotationDatabase: strings.Join([]string{
			database.SecretRef.Name, database.SecretRef.Key, database.Schema, strconv.FormatBool(database.AllowSuperuser),
		}, "/"),
		v1alpha1.AnnotationRunnerSecrets: strings.Join(ws.Spec.Runner.Secrets, ","),
		v1alpha1.AnnotationPullSecrets:   strings.Join(pull, ","),
	}
}
