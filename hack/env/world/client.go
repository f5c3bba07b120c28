package world

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ErrDied is returned to an operator that has died.
var ErrDied = errors.New("the operator died")

// Client reads from the cache and writes to the API server. Methods that no reconciler
// uses panic.
type Client struct {
	client.Client

	// Dies is called before and after each write. Once it returns true, no write is sent.
	Dies func() bool
	// Fails is called before each write, which gets an internal error if it returns true.
	Fails func() bool
	// Refuse may answer a Create with an error.
	Refuse func(client.Object) error
	// RefuseStatus may answer a patch of a status with an error.
	RefuseStatus func(client.Object) error
	// Created is called after each Create.
	Created func(client.Object)

	world *World
	dead  bool
}

// Client returns a new operator's client.
func (w *World) Client() *Client { return &Client{world: w} }

// APIReader returns a reader of what the API server has.
func (w *World) APIReader() client.Reader { return apiReader{w} }

// apiReader reads what the API server has.
type apiReader struct{ world *World }

// Get decodes the object into the given one, as the API server's client does: fields of the
// given one that the object lacks stay in it.
func (r apiReader) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	if of := r.world.tables[kindOf(into)]; of != nil && of.truth[key] != nil {
		encoded, err := json.Marshal(of.truth[key])
		if err != nil {
			return err
		}
		return json.Unmarshal(encoded, into)
	}
	return r.world.get(func(t *table) map[types.NamespacedName]client.Object { return t.truth }, key, into)
}

func (r apiReader) List(_ context.Context, into client.ObjectList, options ...client.ListOption) error {
	return r.world.list(func(t *table) map[types.NamespacedName]client.Object { return t.truth }, into, options)
}

// Get implements client.Client.
func (c *Client) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	defer c.world.stir()
	return c.world.get(func(t *table) map[types.NamespacedName]client.Object { return t.cache }, key, into)
}

// List implements client.Client.
func (c *Client) List(_ context.Context, into client.ObjectList, options ...client.ListOption) error {
	defer c.world.stir()
	return c.world.list(func(t *table) map[types.NamespacedName]client.Object { return t.cache }, into, options)
}

type side func(*table) map[types.NamespacedName]client.Object

func (w *World) get(from side, key client.ObjectKey, into client.Object) error {
	kind := kindOf(into)
	if partial, ok := into.(*metav1.PartialObjectMetadata); ok {
		kind = partial.Kind
	}
	object, ok := from(w.table(kind))[key]
	if !ok {
		return apierrors.NewNotFound(schema.GroupResource{Resource: kind}, key.Name)
	}
	if partial, ok := into.(*metav1.PartialObjectMetadata); ok {
		partial.ObjectMeta = metadataOf(object)
		return nil
	}
	reflect.ValueOf(into).Elem().Set(reflect.ValueOf(copyOf(object)).Elem())
	return nil
}

func (w *World) list(from side, into client.ObjectList, options []client.ListOption) error {
	var asked client.ListOptions
	asked.ApplyOptions(options)
	if partial, ok := into.(*metav1.PartialObjectMetadataList); ok {
		kind := partial.Kind[:len(partial.Kind)-len("List")]
		partial.Items = nil
		for _, object := range sorted[client.Object](from(w.table(kind))) {
			if w.selected(kind, object, asked) {
				partial.Items = append(partial.Items, metav1.PartialObjectMetadata{ObjectMeta: metadataOf(object)})
			}
		}
		return nil
	}
	items := reflect.ValueOf(into).Elem().FieldByName("Items")
	kind := items.Type().Elem().Name()
	var found []runtime.Object
	shared := asked.UnsafeDisableDeepCopy != nil && *asked.UnsafeDisableDeepCopy
	for _, object := range sorted[client.Object](from(w.table(kind))) {
		switch {
		case !w.selected(kind, object, asked):
		case shared:
			found = append(found, object)
		default:
			found = append(found, copyOf(object))
		}
	}
	return meta.SetList(into, found)
}

func (w *World) selected(kind string, object client.Object, asked client.ListOptions) bool {
	if asked.Namespace != "" && asked.Namespace != object.GetNamespace() {
		return false
	}
	if asked.LabelSelector != nil && !asked.LabelSelector.Matches(labelsOf(object)) {
		return false
	}
	if asked.FieldSelector == nil {
		return true
	}
	for _, wanted := range asked.FieldSelector.Requirements() {
		extract, ok := w.indexes[kind+"/"+wanted.Field]
		if wanted.Field == metav1.ObjectNameField {
			extract, ok = func(object client.Object) []string { return []string{object.GetName()} }, true
		}
		if !ok {
			panic(fmt.Sprintf("no index %s of %s", wanted.Field, kind))
		}
		has := false
		for _, value := range extract(object) {
			has = has || value == wanted.Value
		}
		if !has {
			return false
		}
	}
	return true
}

func metadataOf(object client.Object) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: object.GetName(), Namespace: object.GetNamespace(), UID: object.GetUID(), ResourceVersion: object.GetResourceVersion(),
		CreationTimestamp: object.GetCreationTimestamp(),
		Labels:            object.GetLabels(), Annotations: object.GetAnnotations(), OwnerReferences: object.GetOwnerReferences(),
	}
}

func labelsOf(object client.Object) labels.Set { return object.GetLabels() }

// second returns the time in whole seconds, as the API server writes it.
func (w *World) second() metav1.Time { return metav1.NewTime(w.Clock.Now().Truncate(time.Second)) }
