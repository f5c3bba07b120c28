package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/logs"
)

const (
	faultOfTheServer = "the request failed because of a fault in the server, whose log has the details"
	notThere         = "Kubernetes does not answer: try again in a few seconds"
	// retryAfter is when what did not answer may answer again, quotaRetry when a full quota
	// may have room, streamRetry when streams may have ended, and failureRetry when an address
	// may send unknown tokens again, in seconds.
	retryAfter   = 5
	quotaRetry   = 30
	streamRetry  = 30
	failureRetry = 60
)

var (
	// refusedVerb matches RBAC's refusals.
	refusedVerb = regexp.MustCompile(`cannot ([a-z]+) resource "([a-z]+(?:/[a-z]+)?)"`)
	// deniedBy matches the refusals of admission policies.
	deniedBy = regexp.MustCompile(`(?s)denied request: (.*)`)
	// fieldFault matches what Kubernetes writes before the message of a rule.
	fieldFault = regexp.MustCompile(`(?s)^(?:Invalid value|Required value|Unsupported value|Too long|Too many|Duplicate value|Forbidden)(?:: (?:"(?:[^"\\]|\\.)*"|\{.*\}|\[.*\]|[^:"{\[ ]+))?: `)
	// quotaFull matches the refusals of a ResourceQuota, whose name is not disclosed.
	quotaFull = regexp.MustCompile(`exceeded quota: [^,]*, (.*)`)
)

func newProblem(status int, detail string) *huma.ErrorModel {
	return &huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: detail}
}

// problem returns what the caller may know about an error: neither another tenant's name nor
// the server's internals.
func (s *server) problem(c *call, err error) error {
	var ready huma.StatusError
	if errors.As(err, &ready) {
		return err
	}
	var status apierrors.APIStatus
	switch {
	case errors.Is(err, auth.ErrUnauthenticated), apierrors.IsUnauthorized(err):
		return s.unauthenticated(c)
	case errors.Is(err, auth.ErrNoWorkspace):
		return newProblem(http.StatusNotFound, auth.ErrNoWorkspace.Error())
	case errors.Is(err, client.ErrKeyUsed):
		return newProblem(http.StatusConflict, "another job, which does something else, has this name or Idempotency-Key: use another one")
	case errors.Is(err, client.ErrNotFinished):
		return newProblem(http.StatusConflict, "only a finished job can be requeued: wait until this one has finished, or cancel it first")
	case errors.Is(err, logs.ErrGone), errors.Is(err, logs.ErrNotStarted):
		return newProblem(http.StatusNotFound, err.Error())
	case errors.Is(err, logs.ErrNoAnswer):
		return later(http.StatusServiceUnavailable, err.Error(), retryAfter)
	case errors.Is(err, auth.ErrTooManyFailures):
		return later(http.StatusTooManyRequests, err.Error(), failureRetry)
	case errors.Is(err, auth.ErrOwnStreams):
		return later(http.StatusTooManyRequests, err.Error(), streamRetry)
	case errors.Is(err, auth.ErrAllStreams):
		return later(http.StatusServiceUnavailable, err.Error(), streamRetry)
	case errors.As(err, &status):
		return s.ofStatus(status.Status(), err)
	case unanswered(err):
		return later(http.StatusServiceUnavailable, notThere, retryAfter)
	}
	return s.fault(err)
}

func (s *server) fault(err error) error {
	s.log.Error("a request failed", "error", err)
	return newProblem(http.StatusInternalServerError, faultOfTheServer)
}

func (s *server) unauthenticated(c *call) error {
	challenge, detail := `Bearer realm="workspace-jobs"`, "send the header Authorization: Bearer with a token that the cluster accepts (kubectl create token)"
	if c.token != "" {
		s.authenticator.Forget(c.token)
		challenge, detail = challenge+`, error="invalid_token"`, auth.ErrUnauthenticated.Error()
	}
	return huma.ErrorWithHeaders(newProblem(http.StatusUnauthorized, detail), http.Header{"Www-Authenticate": {challenge}})
}

// ofStatus returns the problem for an answer of Kubernetes.
func (s *server) ofStatus(status metav1.Status, err error) error {
	switch status.Reason {
	case metav1.StatusReasonForbidden:
		return forbidden(status)
	case metav1.StatusReasonNotFound:
		return notFound(status)
	case metav1.StatusReasonInvalid:
		return invalid(status)
	case metav1.StatusReasonAlreadyExists, metav1.StatusReasonConflict:
		return newProblem(http.StatusConflict, "it was changed at the same time: try again")
	case metav1.StatusReasonExpired, metav1.StatusReasonGone:
		return newProblem(http.StatusGone, "this continue token has expired: start again with the first page")
	case metav1.StatusReasonRequestEntityTooLarge:
		return newProblem(http.StatusRequestEntityTooLarge, "the object is too large for Kubernetes")
	case metav1.StatusReasonTooManyRequests:
		return later(http.StatusTooManyRequests, "the cluster is overloaded: try again later", max(1, secondsOf(status)))
	case metav1.StatusReasonTimeout, metav1.StatusReasonServerTimeout, metav1.StatusReasonServiceUnavailable, metav1.StatusReasonInternalError:
		return later(http.StatusServiceUnavailable, notThere, retryAfter)
	case metav1.StatusReasonBadRequest:
		if strings.Contains(status.Message, "continue") {
			return oneField("query.continue", "this is not the continue of a previous page")
		}
	}
	if status.Code >= http.StatusInternalServerError {
		return later(http.StatusServiceUnavailable, notThere, retryAfter)
	}
	return s.fault(err)
}

func forbidden(status metav1.Status) error {
	if full := quotaFull.FindStringSubmatch(status.Message); full != nil {
		return later(http.StatusTooManyRequests, "the workspace's quota is full ("+full[1]+"): delete finished jobs, or ask a platform admin for more", quotaRetry)
	}
	if status.Details != nil {
		for _, cause := range status.Details.Causes {
			if cause.Type == corev1.NamespaceTerminatingCause {
				return newProblem(http.StatusConflict, "the workspace is being deleted")
			}
		}
	}
	if right := refusedVerb.FindStringSubmatch(status.Message); right != nil {
		return newProblem(http.StatusForbidden, "you may not "+right[1]+" "+right[2]+" in this workspace: ask for a role that allows it, such as Editor to create and change jobs")
	}
	if denied := deniedBy.FindStringSubmatch(status.Message); denied != nil {
		return newProblem(http.StatusForbidden, denied[1])
	}
	return newProblem(http.StatusForbidden, "you may not do this in this workspace")
}

func notFound(status metav1.Status) error {
	kind, name := "", ""
	if status.Details != nil {
		kind, name = status.Details.Kind, status.Details.Name
	}
	switch kind {
	case "workspacejobs":
		return newProblem(http.StatusNotFound, "there is no job "+strconv.Quote(name)+" in this workspace")
	case "workspacerecurringjobs":
		return newProblem(http.StatusNotFound, "there is no recurring job "+strconv.Quote(name)+" in this workspace")
	}
	return newProblem(http.StatusNotFound, auth.ErrNoWorkspace.Error())
}

// invalid returns a problem that names the fields as a request's body has them.
func invalid(status metav1.Status) error {
	problem := newProblem(http.StatusUnprocessableEntity, "the job is not valid")
	if status.Details == nil {
		return problem
	}
	for _, cause := range status.Details.Causes {
		problem.Errors = append(problem.Errors, &huma.ErrorDetail{
			Location: locationOf(cause.Field), Message: fieldFault.ReplaceAllString(cause.Message, ""),
		})
	}
	return problem
}

func locationOf(field string) string {
	for _, prefix := range []string{"spec.template", "spec", "metadata"} {
		if rest, ok := strings.CutPrefix(field, prefix); ok && (rest == "" || rest[0] == '.') {
			return "body" + rest
		}
	}
	return "body"
}

// oneField returns a 422 that names a field.
func oneField(location, message string) *huma.ErrorModel {
	problem := newProblem(http.StatusUnprocessableEntity, message)
	problem.Errors = []*huma.ErrorDetail{{Location: location, Message: message}}
	return problem
}

// later returns a problem that passes without a change of the request.
func later(status int, detail string, seconds int) error {
	return huma.ErrorWithHeaders(newProblem(status, detail), http.Header{"Retry-After": {strconv.Itoa(seconds)}})
}

func secondsOf(status metav1.Status) int {
	if status.Details == nil {
		return 0
	}
	return int(status.Details.RetryAfterSeconds)
}

// unanswered reports whether the API server did not answer, or not in time.
func unanswered(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// writeProblem answers a request for which no operation has begun.
func writeProblem(w http.ResponseWriter, err error) {
	problem := newProblem(http.StatusInternalServerError, faultOfTheServer)
	errors.As(err, &problem)
	var more huma.HeadersError
	if errors.As(err, &more) {
		for name, values := range more.GetHeaders() {
			w.Header()[name] = values
		}
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(problem.Status)
	_ = json.NewEncoder(w).Encode(problem) // a client that has gone away needs no answer
}
