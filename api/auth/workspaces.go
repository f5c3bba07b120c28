package auth

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

const (
	// questionsAtOnce is how many workspaces the API server is asked about at once.
	questionsAtOnce = 16
	// askedAboutEach is up to how many workspaces the API server is asked about each. If there
	// are more, it is asked only about those whose members include the caller.
	askedAboutEach = 100
)

// seeing is the right to list a workspace's jobs, which it takes to see the workspace.
var seeing = Right{Verb: "list", Resource: "workspacejobs"}

// Workspaces returns the workspaces that the caller may see, in the order of their names. In a
// cluster of more than 100 workspaces, one is left out if the caller's right to it comes from a
// RoleBinding and not from the Workspace's members.
func (c *Caller) Workspaces(ctx context.Context) ([]v1alpha1.Workspace, error) {
	all, err := c.authenticator.directory.All(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(ws v1alpha1.Workspace) bool { return ws.Status.Namespace == "" })
	// For a platform admin, who sees all of them, one question is enough.
	if everything, err := c.May(ctx, "", seeing); err != nil || everything {
		return all, err
	}
	if len(all) > askedAboutEach {
		all = slices.DeleteFunc(all, func(ws v1alpha1.Workspace) bool { return !c.isMemberOf(&ws) })
	}
	return c.seen(ctx, all)
}

// isMemberOf reports whether the Workspace names the caller, or one of its groups, or whether
// the caller is a ServiceAccount of its own. This gives no right: RBAC is asked next.
func (c *Caller) isMemberOf(ws *v1alpha1.Workspace) bool {
	if home, ok := c.homeNamespace(); ok && home == ws.Status.Namespace {
		return true
	}
	for _, member := range ws.Spec.Members {
		if slices.ContainsFunc(member.Subjects, c.is) {
			return true
		}
	}
	return false
}

// is reports whether a subject of a RoleBinding includes the caller.
func (c *Caller) is(subject rbacv1.Subject) bool {
	switch subject.Kind {
	case rbacv1.UserKind:
		return subject.Name == c.Name
	case rbacv1.GroupKind:
		return slices.Contains(c.Groups, subject.Name)
	case rbacv1.ServiceAccountKind:
		return accountPrefix+subject.Namespace+":"+subject.Name == c.Name
	}
	return false
}

// seen returns the workspaces that the caller may see.
func (c *Caller) seen(ctx context.Context, all []v1alpha1.Workspace) ([]v1alpha1.Workspace, error) {
	may := make([]bool, len(all))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(questionsAtOnce)
	for i := range all {
		group.Go(func() error {
			var err error
			may[i], err = c.May(ctx, all[i].Status.Namespace, seeing)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	seen := all[:0]
	for i := range all {
		if may[i] {
			seen = append(seen, all[i])
		}
	}
	return seen, nil
}

// Workspace returns the workspace of this name, or [ErrNoWorkspace].
func (c *Caller) Workspace(ctx context.Context, name string) (*v1alpha1.Workspace, error) {
	return c.find(ctx, "workspace-"+name, func(ws *v1alpha1.Workspace) bool { return ws.Name == name })
}

// Home returns the workspace whose namespace the caller, a ServiceAccount, is in, or
// [ErrNoWorkspace].
func (c *Caller) Home(ctx context.Context) (*v1alpha1.Workspace, error) {
	namespace, ok := c.homeNamespace()
	if !ok {
		return nil, ErrNoWorkspace
	}
	return c.find(ctx, namespace, func(ws *v1alpha1.Workspace) bool { return ws.Status.Namespace == namespace })
}

const accountPrefix = "system:serviceaccount:"

// homeNamespace returns the namespace that the caller, if it is a ServiceAccount, is in.
func (c *Caller) homeNamespace() (string, bool) {
	account, ok := strings.CutPrefix(c.Name, accountPrefix)
	namespace, _, _ := strings.Cut(account, ":")
	return namespace, ok
}

// find returns the wanted workspace. If there is none, RBAC is still asked about a namespace,
// so that neither the answer nor the time it takes shows whether a workspace exists.
func (c *Caller) find(ctx context.Context, namespace string, wanted func(*v1alpha1.Workspace) bool) (*v1alpha1.Workspace, error) {
	all, err := c.authenticator.directory.All(ctx)
	if err != nil {
		return nil, err
	}
	var found *v1alpha1.Workspace
	for i := range all {
		if all[i].Status.Namespace != "" && wanted(&all[i]) {
			found, namespace = &all[i], all[i].Status.Namespace
		}
	}
	allowed, err := c.May(ctx, namespace, seeing)
	if err != nil {
		return nil, err
	}
	if found == nil || !allowed {
		return nil, ErrNoWorkspace
	}
	return found, nil
}

// Informer is a [Directory] that follows the API server.
type Informer struct{ cache cache.Cache }

// NewInformer returns a directory that reads Workspaces with config's credentials while it
// runs.
func NewInformer(config *rest.Config) (*Informer, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	opened, err := cache.New(config, cache.Options{Scheme: scheme, DefaultTransform: cache.TransformStripManagedFields()})
	if err != nil {
		return nil, fmt.Errorf("set up the list of Workspaces: %w", err)
	}
	return &Informer{opened}, nil
}

// Run follows the Workspaces until ctx ends.
func (i *Informer) Run(ctx context.Context) error {
	// The cache reads only kinds that it was asked for.
	if _, err := i.cache.GetInformer(ctx, &v1alpha1.Workspace{}, cache.BlockUntilSynced(false)); err != nil {
		return fmt.Errorf("follow the Workspaces: %w", err)
	}
	return i.cache.Start(ctx)
}

// Ready waits until the Workspaces have been read once. It reports false if ctx ends first.
func (i *Informer) Ready(ctx context.Context) bool { return i.cache.WaitForCacheSync(ctx) }

// All implements [Directory].
func (i *Informer) All(ctx context.Context) ([]v1alpha1.Workspace, error) {
	var list v1alpha1.WorkspaceList
	if err := i.cache.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list the Workspaces: %w", err)
	}
	slices.SortFunc(list.Items, func(a, b v1alpha1.Workspace) int { return strings.Compare(a.Name, b.Name) })
	return list.Items, nil
}
