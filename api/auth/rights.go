package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

const (
	// answersFor is how long an answer of RBAC decides which buttons are offered and which
	// workspaces are listed.
	answersFor = 10 * time.Second
	// rightsSize is how much all answers that are remembered may measure, in bytes. Each takes
	// answerSize at most.
	rightsSize = 16 << 20
	answerSize = 384
)

// Right is a permission that RBAC grants.
type Right struct {
	// Verb is a verb such as create. Resource is one of this API, such as workspacejobs, or pods
	// or pods/log.
	Verb, Resource string
}

// question is a question to RBAC.
type question struct {
	user      hash
	namespace string
	right     Right
}

// May reports whether RBAC grants a right. It decides what is offered; the API server decides
// again on what is done. The answer holds for all tokens of the user. Each token asks by
// itself, so that none is refused because another was rejected.
func (c *Caller) May(ctx context.Context, namespace string, right Right) (bool, error) {
	key := question{c.user, namespace, right}
	if allowed, ok := c.authenticator.rights.get(key); ok {
		return allowed, nil
	}
	return shared(ctx, &c.asking, fmt.Sprintf("%q", []string{namespace, right.Verb, right.Resource}), func(ctx context.Context) (bool, error) {
		allowed, err := c.review(ctx, namespace, right)
		if err == nil {
			c.authenticator.rights.add(key, allowed, answerSize)
		}
		return allowed, err
	})
}

func (c *Caller) review(ctx context.Context, namespace string, right Right) (bool, error) {
	cluster, err := c.cluster()
	if err != nil {
		return false, err
	}
	attributes := &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: right.Verb}
	attributes.Resource, attributes.Subresource, _ = strings.Cut(right.Resource, "/")
	if attributes.Resource != "pods" {
		attributes.Group = v1alpha1.Group
	}
	review, err := cluster.AuthorizationV1().SelfSubjectAccessReviews().Create(withToken(ctx, c.token), &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: attributes},
	}, metav1.CreateOptions{})
	if apierrors.IsUnauthorized(err) {
		c.authenticator.Forget(c.token)
		return false, ErrUnauthenticated
	}
	if err != nil {
		return false, fmt.Errorf("ask what the caller may do: %w", err)
	}
	return review.Status.Allowed, nil
}

// StillMay returns the reason why a caller may not continue with what it was allowed to begin:
// [ErrUnauthenticated] or [ErrRevoked]. It returns nil if the caller may, and while the
// cluster can't be asked.
func (c *Caller) StillMay(ctx context.Context, namespace string, right Right) error {
	// The answer about the right may be that of another token.
	if _, err := c.authenticator.CallerAgain(ctx, c.token); errors.Is(err, ErrUnauthenticated) {
		return ErrUnauthenticated
	}
	allowed, err := c.May(ctx, namespace, right)
	switch {
	case errors.Is(err, ErrUnauthenticated):
		return ErrUnauthenticated
	case err == nil && !allowed:
		return ErrRevoked
	}
	return nil
}
