package benchmark

import (
	"regexp"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// What refuses a request.
const (
	byRBAC        = "RBAC"
	byEscalation  = "RBAC's escalation check"
	byPodSecurity = "Pod Security"
	byQuota       = "quota"
	bySchema      = "schema"
	byValidation  = "validation"
	byNobody      = "nobody"
	byOther       = "something else"
)

// refusal is what refused a request, and why.
type refusal struct{ who, why string }

func (r refusal) String() string { return r.who + ": " + r.why }

var (
	rbacSays        = regexp.MustCompile(`is forbidden: User "[^"]+" cannot (\S+) resource "([^"]+)" in API group "([^"]*)"`)
	podSecuritySays = regexp.MustCompile(`(?s)is forbidden: violates PodSecurity "restricted:v[0-9.]+": (.*)$`)
	quotaSays       = regexp.MustCompile(`exceeded quota: workspace-jobs, requested: (\S+), used: `)
	quotaWants      = regexp.MustCompile(`=[^,]*`)
	unknownField    = regexp.MustCompile(`unknown field "([^"]+)"`)
)

// refusalOf returns what refused a request. It knows the exact words of each refusal, so
// that any other error counts as byOther.
func refusalOf(err error) refusal {
	if err == nil {
		return refusal{who: byNobody}
	}
	text := err.Error()
	forbidden := apierrors.IsForbidden(err)
	switch {
	case forbidden && strings.Contains(text, "is attempting to grant RBAC permissions not currently held"):
		return refusal{byEscalation, "permissions not currently held"}
	case forbidden && rbacSays.MatchString(text):
		said := rbacSays.FindStringSubmatch(text)
		return refusal{byRBAC, said[1] + " " + said[2] + " in " + said[3]}
	case forbidden && podSecuritySays.MatchString(text):
		return refusal{byPodSecurity, podSecuritySays.FindStringSubmatch(text)[1]}
	case forbidden && quotaSays.MatchString(text):
		return refusal{byQuota, quotaWants.ReplaceAllString(quotaSays.FindStringSubmatch(text)[1], "")}
	case apierrors.IsBadRequest(err) && strings.Contains(text, "strict decoding error"):
		var fields []string
		for _, field := range unknownField.FindAllStringSubmatch(text, -1) {
			fields = append(fields, field[1])
		}
		return refusal{bySchema, strings.Join(fields, " ")}
	case apierrors.IsInvalid(err):
		return refusal{byValidation, text}
	default:
		return refusal{byOther, text}
	}
}
