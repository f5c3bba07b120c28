// Package auth authenticates callers and asks what they may do. The server has no rights
// over jobs: every request to the Kubernetes API has the caller's own bearer token, so RBAC
// decides. The server's only right of its own is to read Workspaces.
package auth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

const (
	// askAgain is how long the cluster's answer who has a token holds, and so how long a
	// revoked token is still let through to the API server, which decides on each call.
	askAgain = 30 * time.Second
	// rememberFor is how long a token that was accepted counts as known since it was last
	// used: the cluster is asked about it again, whatever else comes from its address.
	rememberFor = 10 * time.Minute
	// callersSize is how much all callers that are remembered may measure, in bytes. Each takes
	// callerSize besides its token and groups.
	callersSize = 16 << 20
	callerSize  = 1 << 10
	// rejectedFor is how long a token that the cluster does not accept is refused without
	// asking again, and rejectedTokens how many of them are remembered.
	rejectedFor    = 10 * time.Second
	rejectedTokens = 16384
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

// hash identifies a token, or a user, among what is remembered.
type hash [sha256.Size]byte

func hashOf(token string) hash { return sha256.Sum256([]byte(token)) }

// Authenticator finds out who calls.
type Authenticator struct {
	cluster   *cluster
	directory Directory
	callers   *memory[hash, *Caller]
	rejected  *memory[hash, struct{}]
	// rights are those of users, which all tokens of a user share.
	rights *memory[question, bool]
	// failures and signIns limit the unknown tokens of each address.
	failures, signIns *failures
	// asking has the cluster asked once about a program that opens a hundred streams at once.
	asking singleflight.Group
}

// Option is an option of [New].
type Option func(*Authenticator)

// WithFailures limits how many tokens of each client address the cluster may reject per
// minute: [FailuresPerMinute] and, at sign-in, [SignInsPerMinute] unless set.
func WithFailures(requests, signIns int) Option {
	return func(a *Authenticator) { a.failures, a.signIns = newFailures(requests), newFailures(signIns) }
}

// New returns an authenticator for the cluster of config, whose credentials it does not use.
// If the configuration can't be used, the first call returns an error.
func New(config *rest.Config, directory Directory, options ...Option) *Authenticator {
	a := &Authenticator{
		cluster: newCluster(config), directory: directory,
		callers: newMemory[hash, *Caller](rememberFor, callersSize), rejected: newMemory[hash, struct{}](rejectedFor, rejectedTokens),
		rights: newMemory[question, bool](answersFor, rightsSize),
	}
	WithFailures(FailuresPerMinute, SignInsPerMinute)(a)
	for _, option := range options {
		option(a)
	}
	return a
}

// Caller is a user or a program that has sent a token.
type Caller struct {
	// Name and Groups are those that the cluster has for the token.
	Name   string
	Groups []string

	authenticator *Authenticator
	token         string
	// asked is when the cluster was asked who has the token.
	asked time.Time
	// user is the same for all tokens of a user.
	user   hash
	asking singleflight.Group
}

// Caller returns the caller whose token this is, or [ErrUnauthenticated]. It returns
// [ErrTooManyFailures] for an unknown token if too many of its address have failed.
func (a *Authenticator) Caller(ctx context.Context, token string) (*Caller, error) {
	return a.find(ctx, token, a.failures)
}

// SignIn is Caller at sign-in, whose failures are counted apart: nobody is kept from signing in
// by a program at the same address.
func (a *Authenticator) SignIn(ctx context.Context, token string) (*Caller, error) {
	return a.find(ctx, token, a.signIns)
}

// CallerAgain is Caller for a token that the cluster has accepted before, such as one that a
// session holds: it can't be made up.
func (a *Authenticator) CallerAgain(ctx context.Context, token string) (*Caller, error) {
	return a.find(ctx, token, nil)
}

func (a *Authenticator) find(ctx context.Context, token string, limit *failures) (*Caller, error) {
	if len(token) > longestToken || !wellFormed.MatchString(token) {
		return nil, ErrUnauthenticated
	}
	key := hashOf(token)
	caller, known := a.callers.get(key)
	if known && time.Since(caller.asked) < askAgain {
		return caller, nil
	}
	if _, ok := a.rejected.get(key); ok {
		return nil, ErrUnauthenticated
	}
	// A caller who joins another one's question shares its limit.
	asked := fmt.Sprintf("%x", key)
	if known {
		limit = nil
	}
	if limit != nil {
		asked = fmt.Sprintf("%x %p %s", key, limit, Site(ctx))
	}
	return shared(ctx, &a.asking, asked, func(ctx context.Context) (*Caller, error) {
		return limit.within(ctx, func() (*Caller, error) { return a.ask(ctx, token) })
	})
}

// shared joins callers who ask the same question at the same time: it is asked once, and not
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
	caller := &Caller{authenticator: a, token: token, asked: time.Now()}
	info, err := caller.whoAmI(ctx)
	// An anonymous caller may not even ask who it is.
	if apierrors.IsUnauthorized(err) || apierrors.IsForbidden(err) {
		a.Forget(token)
		a.rejected.add(hashOf(token), struct{}{}, 1)
		return nil, ErrUnauthenticated
	}
	if err != nil {
		return nil, fmt.Errorf("ask the cluster who calls: %w", err)
	}
	caller.Name, caller.Groups = info.Username, info.Groups
	text, err := userOf(info)
	if err != nil {
		return nil, err
	}
	caller.user = hash(sha256.Sum256(text))
	a.callers.add(hashOf(token), caller, callerSize+len(token)+len(text))
	return caller, nil
}

// userOf returns everything that an authorizer can decide by, which two tokens of a user have
// in common.
func userOf(info authenticationv1.UserInfo) ([]byte, error) {
	info = *info.DeepCopy()
	slices.Sort(info.Groups)
	// This is the token's own number.
	delete(info.Extra, "authentication.kubernetes.io/credential-id")
	return json.Marshal(info)
}

func (c *Caller) whoAmI(ctx context.Context) (authenticationv1.UserInfo, error) {
	cluster, err := c.cluster()
	if err != nil {
		return authenticationv1.UserInfo{}, err
	}
	review, err := cluster.AuthenticationV1().SelfSubjectReviews().Create(withToken(ctx, c.token), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return authenticationv1.UserInfo{}, err
	}
	return review.Status.UserInfo, nil
}

// Forget drops what is remembered of a caller whose token the cluster has rejected.
func (a *Authenticator) Forget(token string) { a.callers.remove(hashOf(token)) }

// Bearer returns the token of a request's Authorization header; "" if it has none.
func Bearer(request *http.Request) string {
	const scheme = "Bearer "
	header := request.Header.Get("Authorization")
	if len(header) > len(scheme) && strings.EqualFold(header[:len(scheme)], scheme) {
		return header[len(scheme):]
	}
	return ""
}
