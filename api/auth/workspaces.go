package auth

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// questionsAtOnce is how many workspaces the API server is asked about at once.
const questionsAtOnce = 16

// seeing a workspace takes the right to list its jobs.
var seeing = Right{Verb: "list", Resource: "workspacejobs"}

// Workspaces returns the workspaces that the caller may see, in the order of their names.
func (c *Caller) Workspaces(ctx context.Context) ([]v1alpha1.Workspace, error) {
	all, err := c.directory.All(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(ws v1alpha1.Workspace) bool { return ws.Status.Namespace == "" })
	// For a platform admin, who sees all of them, one question is enough.
	if everything, err := c.May(ctx, "", seeing); err != nil || everything {
		return all, err
	}
	seen, err := c.seen(ctx, all)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(ws v1alpha1.Workspace) bool { return !seen[ws.UID] }), nil
}

// seen returns which workspaces the caller may see, by UID. The answers are remembered
// together: those of many workspaces would push each other out one by one. A workspace that
// is newer than they are is asked about.
func (c *Caller) seen(ctx context.Context, all []v1alpha1.Workspace) (map[types.UID]bool, error) {
	type question struct{}
	known, _ := c.rights.Get(question{})
	remembered, _ := known.(map[types.UID]bool)
	answers := make([]bool, len(all))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(questionsAtOnce)
	for i := range all {
		if answer, ok := remembered[all[i].UID]; ok {
			answers[i] = answer
			continue
		}
		group.Go(func() error {
			var err error
			answers[i], err = c.May(ctx, all[i].Status.Namespace, seeing)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	seen := map[types.UID]bool{}
	for i := range all {
		seen[all[i].UID] = answers[i]
	}
	if remembered == nil {
		c.rights.Add(question{}, seen, answersFor)
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
	account, ok := strings.CutPrefix(c.Name, "system:serviceaccount:")
	if !ok {
		return nil, ErrNoWorkspace
	}
	namespace, _, _ := strings.Cut(account, ":")
	return c.find(ctx, namespace, func(ws *v1alpha1.Workspace) bool { return ws.Status.Namespace == namespace })
}

// find returns the wanted workspace. If there is none, RBAC is still asked about a namespace,
// so that neither the answer nor the time it takes shows whether a workspace exists.
func (c *Caller) find(ctx context.Context, namespace string, wanted func(*v1alpha1.Workspace) bool) (*v1alpha1.Workspace, error) {
	all, err := c.directory.All(ctx)
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
