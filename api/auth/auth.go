// Package auth authenticates callers and asks what they may do. The server has no rights
// over jobs: every request to the Kubernetes API has the caller's own bearer token, so RBAC
// decides. The server's only right of its own is to read Workspaces.
package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

const (
	// knownCallers is how many callers are remembered, and rememberFor how long. The API
	// server still decides on each call of theirs.
	knownCallers = 4096
	rememberFor  = 30 * time.Second
	// answersFor is how long an answer of RBAC decides which buttons are offered and which
	// workspaces are listed.
	answersFor  = 10 * time.Second
	knownRights = 1024
	// askLimit is how long the API server has to answer.
	askLimit = 25 * time.Second
)

// longestToken is longer than the tokens of ServiceAccounts and OIDC providers are, in bytes.
const longestToken = 16 << 10

// wellFormed matches the b64token of RFC 6750, section 2.1.
var wellFormed = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)

var (
	// ErrUnauthenticated is returned for a token that the cluster does not accept, or does
	// not accept any more.
	ErrUnauthenticated = errors.New("the cluster does not accept this token: it is wrong, expired or revoked")
	// ErrNoWorkspace is returned when there is no such workspace or the caller may not see
	// it. Which of the two is not disclosed.
	ErrNoWorkspace = errors.New("there is no such workspace, or you may not see it")
	// ErrRevoked ends a stream whose caller has lost the right to it.
	ErrRevoked = errors.New("you may not see this any more")
)

// Directory has the Workspaces.
type Directory interface {
	// All returns all Workspaces in the order of their names.
	All(ctx context.Context) ([]v1alpha1.Workspace, error)
}

// Authenticator finds out who calls.
type Authenticator struct {
	base      *rest.Config
	directory Directory
	callers   *utilcache.LRUExpireCache
	// asking has the cluster asked once about a program that opens a hundred streams at once.
	asking singleflight.Group
}

// New returns an authenticator for the cluster of config, whose credentials it does not use.
func New(config *rest.Config, directory Directory) *Authenticator {
	base := rest.AnonymousClientConfig(config)
	// The API server's priority and fairness limits each caller.
	base.QPS = -1
	return &Authenticator{base: base, directory: directory, callers: utilcache.NewLRUExpireCache(knownCallers)}
}

// Caller is a user or a program that has sent a token.
type Caller struct {
	// Name and Groups are those that the cluster has for the token.
	Name   string
	Groups []string

	client    *client.Client
	clientset *kubernetes.Clientset
	directory Directory
	rights    *utilcache.LRUExpireCache
	asking    singleflight.Group
	// forget has the cluster asked again who has this token.
	forget func()
}

// Caller returns the caller whose token this is, or [ErrUnauthenticated].
func (a *Authenticator) Caller(ctx context.Context, token string) (*Caller, error) {
	if len(token) > longestToken || !wellFormed.MatchString(token) {
		return nil, ErrUnauthenticated
	}
	key := sha256.Sum256([]byte(token))
	if known, ok := a.callers.Get(key); ok {
		if caller, ok := known.(*Caller); ok {
			return caller, nil
		}
	}
	return shared(ctx, &a.asking, string(key[:]), func(ctx context.Context) (*Caller, error) { return a.ask(ctx, token) })
}

// shared joins those who ask the same question at the same time: it is asked once, and not
// cancelled when the first of them leaves.
func shared[T any](ctx context.Context, group *singleflight.Group, question string, ask func(context.Context) (T, error)) (T, error) {
	asked := group.DoChan(question, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askLimit)
		defer cancel()
		return ask(ctx)
	})
	var none T
	select {
	case answer := <-asked:
		if value, ok := answer.Val.(T); ok {
			return value, answer.Err
		}
		return none, answer.Err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// ask asks the cluster whose token this is.
func (a *Authenticator) ask(ctx context.Context, token string) (*Caller, error) {
	caller, err := a.newCaller(token)
	if err != nil {
		return nil, err
	}
	review, err := caller.clientset.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	// An anonymous caller may not even ask who it is.
	if apierrors.IsUnauthorized(err) || apierrors.IsForbidden(err) {
		return nil, ErrUnauthenticated
	}
	if err != nil {
		return nil, fmt.Errorf("ask the cluster who calls: %w", err)
	}
	caller.Name, caller.Groups = review.Status.UserInfo.Username, review.Status.UserInfo.Groups
	a.callers.Add(sha256.Sum256([]byte(token)), caller, rememberFor)
	return caller, nil
}

// Forget drops what is remembered of a caller whose token the cluster has rejected.
func (a *Authenticator) Forget(token string) { a.callers.Remove(sha256.Sum256([]byte(token))) }

func (a *Authenticator) newCaller(token string) (*Caller, error) {
	config := rest.CopyConfig(a.base)
	config.BearerToken = token
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of the cluster: %w", err)
	}
	return &Caller{
		client: client.New(config), clientset: clientset, directory: a.directory, rights: utilcache.NewLRUExpireCache(knownRights),
		forget: func() { a.Forget(token) },
	}, nil
}

// In returns a client of the jobs in a namespace, with the caller's rights.
func (c *Caller) In(namespace string) *client.Workspace {
	return c.client.ForNamespace(namespace).By(c.Name)
}

// Kubernetes returns a client of everything else, with the caller's rights.
func (c *Caller) Kubernetes() kubernetes.Interface { return c.clientset }

// Right is a permission that RBAC grants.
type Right struct {
	// Verb is such as create. Resource is one of this API, such as workspacejobs, or pods or
	// pods/log.
	Verb, Resource string
}

// May reports whether RBAC grants a right. It decides what is offered; the API server decides
// again on what is done.
func (c *Caller) May(ctx context.Context, namespace string, right Right) (bool, error) {
	type question struct {
		namespace string
		right     Right
	}
	key := question{namespace, right}
	if known, ok := c.rights.Get(key); ok {
		return known == true, nil
	}
	return shared(ctx, &c.asking, fmt.Sprintf("%q", key), func(ctx context.Context) (bool, error) {
		allowed, err := c.review(ctx, namespace, right)
		if err == nil {
			c.rights.Add(key, allowed, answersFor)
		}
		return allowed, err
	})
}

func (c *Caller) review(ctx context.Context, namespace string, right Right) (bool, error) {
	attributes := &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: right.Verb}
	attributes.Resource, attributes.Subresource, _ = strings.Cut(right.Resource, "/")
	if attributes.Resource != "pods" {
		attributes.Group = v1alpha1.Group
	}
	review, err := c.clientset.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: attributes},
	}, metav1.CreateOptions{})
	if apierrors.IsUnauthorized(err) {
		c.forget()
		return false, ErrUnauthenticated
	}
	if err != nil {
		return false, fmt.Errorf("ask what the caller may do: %w", err)
	}
	return review.Status.Allowed, nil
}

// StillMay returns why a caller may not continue with what it was allowed to begin:
// [ErrUnauthenticated] or [ErrRevoked]. It returns nil if the caller may, and while the
// cluster can't be asked.
func (c *Caller) StillMay(ctx context.Context, namespace string, right Right) error {
	allowed, err := c.May(ctx, namespace, right)
	switch {
	case errors.Is(err, ErrUnauthenticated):
		return ErrUnauthenticated
	case err == nil && !allowed:
		return ErrRevoked
	}
	return nil
}

// Bearer returns the token of a request's Authorization header; "" if it has none.
func Bearer(request *http.Request) string {
	const scheme = "Bearer "
	header := request.Header.Get("Authorization")
	if len(header) > len(scheme) && strings.EqualFold(header[:len(scheme)], scheme) {
		return header[len(scheme):]
	}
	return ""
}
