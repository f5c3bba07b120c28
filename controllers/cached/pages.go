package cached

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/pager"
)

// newInformer makes an informer that never holds a whole list. Most API servers stream the
// objects to it one by one. From one that does not, or that is too busy to, client-go takes
// them as one list, which would fill the operator's memory before anything is trimmed.
func (t *trimmer) newInformer(source toolscache.ListerWatcher, example runtime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
	from := toolscache.ToListerWatcherWithContext(source)
	paged := &toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return t.list(ctx, from, options)
		},
		WatchFuncWithContext: from.WatchWithContext,
	}
	return toolscache.NewSharedIndexInformer(paged, example, resync, indexers)
}

// list reads the objects page by page, and trims each page before it reads the next one.
func (t *trimmer) list(ctx context.Context, from toolscache.ListerWithContext, options metav1.ListOptions) (runtime.Object, error) {
	// For a version, the API server answers from its own cache, and with all objects at once.
	options.ResourceVersion, options.ResourceVersionMatch = "", ""
	options.Limit = page
	pages := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		some, err := from.ListWithContext(ctx, options)
		if err != nil {
			return nil, err
		}
		return some, meta.EachListItem(some, func(object runtime.Object) error {
			_, err := t.trim(object)
			return err
		})
	})
	pages.FullListIfExpired = false
	// The items of a page share memory, and so each is copied.
	all, _, err := pages.ListWithAlloc(ctx, options)
	return all, err
}
