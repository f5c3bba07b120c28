package client

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// authorsPolicy refuses the name of another user.
const authorsPolicy = "workspace-jobs-authors"

// By returns the same workspace for a program that knows who its requests are from: objects
// say who created, requeued, cancelled, paused or resumed them. A client that [New] made asks
// the API server for the name.
func (w *Workspace) By(user string) *Workspace {
	named := *w
	named.user = user
	return &named
}

// author returns the name of the user whose credentials the client has, or "" if it is not
// known: a name is worth no failed request.
func (w *Workspace) author(ctx context.Context) string {
	if w.user != "" || w.client.self == nil {
		return w.user
	}
	return w.client.self.name(ctx, w.client.kube)
}

// self asks once who the client is.
type self struct {
	mu    sync.Mutex
	known string
}

func (s *self) name(ctx context.Context, kube client.Client) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == "" {
		review := &authenticationv1.SelfSubjectReview{}
		if err := kube.Create(ctx, review); err != nil {
			return ""
		}
		s.known = review.Status.UserInfo.Username
	}
	return s.known
}

// signed writes with the author's name. If the API server says that the name is wrong, the
// object has changed meanwhile or the credentials have, so it writes once more without one.
func (w *Workspace) signed(ctx context.Context, write func(author string) error) error {
	author := w.author(ctx)
	err := write(author)
	if author != "" && err != nil && strings.Contains(err.Error(), authorsPolicy) {
		return write("")
	}
	return err
}

// change changes fields of an object's spec; nil removes one. If annotation is not "", it
// says who changed field, unless the field has its value already.
func (w *Workspace) change(ctx context.Context, object client.Object, spec map[string]any, field, annotation string) error {
	kube, err := w.kube()
	if err != nil {
		return err
	}
	return w.signed(ctx, func(author string) error {
		changes := map[string]any{"spec": spec}
		if author != "" && annotation != "" {
			if err := kube.Get(ctx, w.key(object.GetName()), object); err == nil && fieldOf(object, field) != spec[field] {
				changes["metadata"] = map[string]any{"annotations": map[string]any{annotation: v1alpha1.Signature(author, object.GetGeneration()+1)}}
			}
		}
		text, err := json.Marshal(changes)
		if err != nil {
			return err
		}
		if err := kube.Patch(ctx, object, client.RawPatch(types.MergePatchType, text), fieldOwner); err != nil {
			return fmt.Errorf("change %s %q: %w", kindOf(object), object.GetName(), err)
		}
		return nil
	})
}

// fieldOf returns a field of an object's spec as JSON has it, nil if it is not set.
func fieldOf(object client.Object, field string) any {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil
	}
	value, _, err := unstructured.NestedFieldNoCopy(content, "spec", field)
	if err != nil {
		return nil
	}
	return value
}
