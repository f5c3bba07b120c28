package policies

import (
	"errors"
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/objects"
)

const authors = "workspace-jobs-authors"

// action is something that an annotation says who did.
type action struct{ annotation, spec string }

var (
	cancels  = action{v1alpha1.AnnotationCancelledBy, `{"cancelled":true}`}
	requeues = action{v1alpha1.AnnotationRequeuedBy, `{"requeueAt":"2031-01-01T00:00:00Z","cancelled":null}`}
	suspends = action{v1alpha1.AnnotationSuspendedBy, `{"suspend":true}`}
	resumes  = action{v1alpha1.AnnotationResumedBy, `{"suspend":null}`}
)

func mergePatch(text string) client.Patch {
	return client.RawPatch(types.MergePatchType, []byte(text))
}

// as returns a patch that does this and says who did. A name of "" leaves the annotations as
// they are.
func (a action) as(name string) client.Patch {
	if name == "" {
		return mergePatch(`{"spec":` + a.spec + `}`)
	}
	return mergePatch(fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}},"spec":%s}`, a.annotation, name, a.spec))
}

// said returns a patch that only says who did this.
func (a action) said(name string) client.Patch {
	return mergePatch(fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, a.annotation, name))
}

// TestOnlyTheCreatorIsNamedAsTheCreator checks the annotation created-by.
func TestOnlyTheCreatorIsNamedAsTheCreator(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	home := c.workspace("creators", image)
	ana, bob := c.unrestricted("ana"), c.unrestricted("bob")
	for _, made := range []client.Object{
		objects.MakeWorkspaceJob("made").In(home).Obj(), objects.MakeWorkspaceRecurringJob("made").In(home).Obj(),
	} {
		const words = `created-by can only be set to "bob"`
		created := func(by string) client.Object {
			named := copyOf(made)
			named.SetAnnotations(map[string]string{v1alpha1.AnnotationCreatedBy: by})
			return named
		}
		say := func(by string) client.Patch {
			return mergePatch(fmt.Sprintf(`{"metadata":{"annotations":{%q:%s}}}`, v1alpha1.AnnotationCreatedBy, by))
		}
		c.refused("to create in another's name", authors, words, bob.Create(t.Context(), created("ana"), client.DryRunAll))
		c.accepted("to create without a name", bob.Create(t.Context(), copyOf(made), client.DryRunAll))
		c.accepted("to create in one's own name", ana.Create(t.Context(), created("ana")))
		c.refused("to take it over", authors, words, bob.Patch(t.Context(), copyOf(made), say(`"bob"`), client.DryRunAll))
		c.refused("to take it over as one who created it", authors, "only when the object is created",
			ana.Patch(t.Context(), copyOf(made), say(`"ana "`), client.DryRunAll))
		c.accepted("another change", bob.Patch(t.Context(), copyOf(made), mergePatch(`{"metadata":{"labels":{"mine":"yes"}}}`), client.DryRunAll))
		c.accepted("to remove the name", bob.Patch(t.Context(), copyOf(made), say(`null`)))
		c.refused("to add it later", authors, words, bob.Patch(t.Context(), copyOf(made), say(`"bob"`), client.DryRunAll))
	}
}

// TestOnlyWhoDidItIsNamed checks the annotations about changes of a spec.
func TestOnlyWhoDidItIsNamed(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	home := c.workspace("authors", image)
	bob := c.unrestricted("bob")
	job := func(name string) client.Object { return objects.MakeWorkspaceJob(name).In(home).Obj() }
	recurring := func(name string) client.Object { return objects.MakeWorkspaceRecurringJob(name).In(home).Obj() }
	for _, test := range []struct {
		made    client.Object
		does    action
		another client.Patch
	}{
		{job("cancelled"), cancels, action{cancels.annotation, requeues.spec}.as("bob (generation 2)")},
		{job("requeued"), requeues, action{requeues.annotation, cancels.spec}.as("bob (generation 2)")},
		{recurring("suspended"), suspends, action{suspends.annotation, `{"schedule":"@yearly"}`}.as("bob (generation 2)")},
		{objects.MakeWorkspaceRecurringJob("resumed").In(home).Suspend().Obj(), resumes, action{resumes.annotation, `{"schedule":"@yearly"}`}.as("bob (generation 2)")},
	} {
		words := test.does.annotation + ` can only be set to "bob (generation `
		planted := copyOf(test.made)
		planted.SetAnnotations(map[string]string{test.does.annotation: "bob (generation 1)"})
		c.refused("to create one with a name for what is not done", authors, words+"1)", bob.Create(t.Context(), planted, client.DryRunAll))
		c.make(test.made)
		try := func(patch client.Patch) error {
			return bob.Patch(t.Context(), copyOf(test.made), patch, client.DryRunAll)
		}
		c.refused("another's name", authors, words+"2)", try(test.does.as("ana (generation 2)")))
		c.refused("a name alone", authors, words, try(test.does.as("bob")))
		c.refused("a generation of before", authors, words, try(test.does.as("bob (generation 1)")))
		c.refused("a generation to come", authors, words, try(test.does.as("bob (generation 3)")))
		c.refused("a name without the change", authors, words+"1)", try(test.does.said("bob (generation 1)")))
		c.refused("a name with another change", authors, words+"2)", try(test.another))
		c.accepted("no name", try(test.does.as("")))
		c.accepted("one's own name", try(test.does.as("bob (generation 2)")))
	}
}

// TestANameFromBeforeIsNotThatOfALaterChange checks that clients that know nothing of the
// annotations work as before, and that no name is read as that of their changes.
func TestANameFromBeforeIsNotThatOfALaterChange(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	home := c.workspace("stale-authors", image)
	ana, bob := c.unrestricted("ana"), c.unrestricted("bob")
	recurring := objects.MakeWorkspaceRecurringJob("nightly").In(home).Obj()
	c.make(recurring)
	author := func() string { return v1alpha1.Author(recurring, v1alpha1.AnnotationSuspendedBy) }

	c.accepted("ana's pause", ana.Patch(t.Context(), recurring, suspends.as("ana (generation 2)")))
	if got := author(); got != "ana" {
		t.Errorf("suspended by %q, want ana", got)
	}
	c.accepted("bob's end of the pause", bob.Patch(t.Context(), recurring, resumes.as("")))
	c.accepted("bob's pause", bob.Patch(t.Context(), recurring, suspends.as("")))
	if got := author(); got != "" || recurring.Annotations[v1alpha1.AnnotationSuspendedBy] != "ana (generation 2)" {
		t.Errorf("suspended by %q, annotations %v", got, recurring.Annotations)
	}
	c.accepted("bob's next pause", errors.Join(
		bob.Patch(t.Context(), recurring, resumes.as("bob (generation 5)")), bob.Patch(t.Context(), recurring, suspends.as("bob (generation 6)"))))
	if got := author(); got != "bob" {
		t.Errorf("suspended by %q, want bob", got)
	}
	// The whole object, as kubectl edit and kubectl replace send it.
	recurring.Spec.Suspend, recurring.ManagedFields = false, nil
	c.accepted("ana's edit", ana.Update(t.Context(), recurring))
	recurring.Annotations = nil
	c.accepted("ana's replacement", ana.Update(t.Context(), recurring))
}
