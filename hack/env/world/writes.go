package world

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// write sends a write, unless the operator dies before it, and drops the answer if the
// operator dies after it.
func (c *Client) write(send func() error) error {
	if c.dead = c.dead || c.Dies != nil && c.Dies(); c.dead {
		return ErrDied
	}
	if c.Fails != nil && c.Fails() {
		return apierrors.NewInternalError(errors.New("the API server fails at random"))
	}
	err := send()
	if c.dead = c.Dies != nil && c.Dies(); c.dead {
		return ErrDied
	}
	return err
}

// Create implements client.Client.
func (c *Client) Create(_ context.Context, object client.Object, _ ...client.CreateOption) error {
	return c.write(func() error {
		t := c.world.table(kindOf(object))
		if _, exists := t.truth[client.ObjectKeyFromObject(object)]; exists {
			return apierrors.NewAlreadyExists(schema.GroupResource{Resource: kindOf(object)}, object.GetName())
		}
		if c.Refuse != nil {
			if err := c.Refuse(object); err != nil {
				return err
			}
		}
		stored := Add(c.world, object)
		object.SetResourceVersion(stored.GetResourceVersion())
		if c.Created != nil {
			c.Created(stored)
		}
		return nil
	})
}

// Patch implements client.Client, for JSON merge patches. The status stays as it is.
func (c *Client) Patch(_ context.Context, object client.Object, patch client.Patch, _ ...client.PatchOption) error {
	return c.write(func() error {
		return c.world.patch(object, patch, func(field string) bool { return field != "status" })
	})
}

// Status implements client.Client.
func (c *Client) Status() client.SubResourceWriter { return statusWriter{client: c} }

type statusWriter struct {
	client.SubResourceWriter
	client *Client
}

// Patch changes only the object's status.
func (s statusWriter) Patch(_ context.Context, object client.Object, patch client.Patch, _ ...client.SubResourcePatchOption) error {
	return s.client.write(func() error {
		if refuse := s.client.RefuseStatus; refuse != nil {
			if err := refuse(object); err != nil {
				return err
			}
		}
		return s.client.world.patch(object, patch, func(field string) bool { return field == "status" })
	})
}

// patch changes these fields of the stored object as the JSON merge patch says, and object
// to the result. It returns a conflict if the patch names another resource version.
func (w *World) patch(object client.Object, patch client.Patch, may func(field string) bool) error {
	key := client.ObjectKeyFromObject(object)
	now, ok := w.table(kindOf(object)).truth[key]
	resource := schema.GroupResource{Resource: kindOf(object)}
	if !ok {
		return apierrors.NewNotFound(resource, key.Name)
	}
	data, err := patch.Data(object)
	if err != nil || patch.Type() != types.MergePatchType {
		panic(fmt.Sprintf("patch %s as %s: %v", key, patch.Type(), err))
	}
	var fields map[string]json.RawMessage
	var seen metav1.PartialObjectMetadata
	if err := errors.Join(json.Unmarshal(data, &fields), json.Unmarshal(data, &seen)); err != nil {
		panic(err)
	}
	if seen.ResourceVersion != "" && now.GetResourceVersion() != seen.ResourceVersion {
		return apierrors.NewConflict(resource, key.Name, errors.New("it has changed"))
	}
	maps.DeleteFunc(fields, func(field string, _ json.RawMessage) bool { return !may(field) })
	wanted := merged(now, fields)
	if equality.Semantic.DeepEqual(now, wanted) {
		// The API server does not store it again, and no watch reports it.
		reflect.ValueOf(object).Elem().Set(reflect.ValueOf(copyOf(now)).Elem())
		return nil
	}
	if spec, changes := fields["spec"]; changes && string(spec) != "{}" {
		wanted.SetGeneration(now.GetGeneration() + 1)
	}
	reflect.ValueOf(object).Elem().Set(reflect.ValueOf(copyOf(w.put(wanted))).Elem())
	return nil
}

// merged returns the object with the fields of a JSON merge patch merged into it.
func merged(now client.Object, fields map[string]json.RawMessage) client.Object {
	patch, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	before, err := json.Marshal(now)
	if err != nil {
		panic(err)
	}
	after, err := jsonpatch.MergePatch(before, patch)
	if err != nil {
		panic(err)
	}
	wanted, _ := reflect.New(reflect.TypeOf(now).Elem()).Interface().(client.Object)
	if err := json.Unmarshal(after, wanted); err != nil {
		panic(err)
	}
	return wanted
}

// Delete implements client.Client.
func (c *Client) Delete(_ context.Context, object client.Object, options ...client.DeleteOption) error {
	return c.write(func() error {
		var asked client.DeleteOptions
		asked.ApplyOptions(options)
		key := client.ObjectKeyFromObject(object)
		now, ok := c.world.table(kindOf(object)).truth[key]
		resource := schema.GroupResource{Resource: kindOf(object)}
		if !ok {
			return apierrors.NewNotFound(resource, key.Name)
		}
		if p := asked.Preconditions; p != nil {
			if p.UID != nil && *p.UID != now.GetUID() || p.ResourceVersion != nil && *p.ResourceVersion != now.GetResourceVersion() {
				return apierrors.NewConflict(resource, key.Name, errors.New("another object has its name"))
			}
		}
		c.world.delete(now)
		return nil
	})
}
