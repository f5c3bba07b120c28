package dashboard

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/printable"
)

const (
	// namesAtOnce are read by one list, and namesAtMost looked at for one page: the API
	// server can't select by a part of a name.
	namesAtOnce = 500
	namesAtMost = 2000
	// readsAtOnce of what was found.
	readsAtOnce = 8
)

// partOfName is what a name can have in it. Nothing else is looked for.
var partOfName = regexp.MustCompile(`^[a-z0-9-]{1,58}$`)

var searchPage = page{name: "search", section: "search", load: loadSearch}

// search goes to the job or recurring job of a name, or to the list of what has a handler
// or a key. If nothing has this name, its page shows what has it in its name.
func (d *dashboard) search(w http.ResponseWriter, r *http.Request, s *scope) {
	query := r.URL.Query()
	text, by := strings.TrimSpace(query.Get("q")), query.Get("by")
	switch {
	case text == "":
		seeOther(w, r, s.path("jobs"))
		return
	case by == "handler" || by == "key":
		seeOther(w, r, pathWith(s.path("jobs"), url.Values{by: {text}}))
		return
	}
	// Who looks further has seen that there is none of this name.
	if !query.Has("in") {
		target, err := s.find(r.Context(), strings.ToLower(text))
		if err != nil {
			d.fail(w, r, s.user, err)
			return
		}
		if target != "" {
			seeOther(w, r, target)
			return
		}
	}
	d.show(searchPage)(w, r, s)
}

// find what has a name; "": nothing.
func (s *scope) find(ctx context.Context, name string) (string, error) {
	if !validName.MatchString(name) {
		return "", nil
	}
	_, err := s.jobs.Get(ctx, name)
	if err == nil {
		return s.path("jobs", name), nil
	}
	if !apierrors.IsNotFound(err) {
		return "", err
	}
	_, err = s.jobs.GetRecurring(ctx, name)
	if err == nil {
		return s.path("recurring", name), nil
	}
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return "", nil
	}
	return "", err
}

type searchData struct {
	base
	paging
	Text string
	// Possible: a name can have the text in it.
	Possible bool
	// Looked is at how many names.
	Looked    int
	Recurring []recurringRow
	Rows      []jobRow
	// Whole: this page shows all that there is.
	Whole bool
	// Here is where to come back to after an action.
	Here string
}

// Found is how many have the text in their names.
func (d *searchData) Found() int { return len(d.Recurring) + len(d.Rows) }

// loadSearch finds jobs and recurring jobs by a part of their names.
func loadSearch(ctx context.Context, s *scope, may rights) (pageData, error) {
	query := s.request.URL.Query()
	text := strings.TrimSpace(query.Get("q"))
	data := &searchData{base: base{Title: "Search", Search: printable.Text(text)}, Text: printable.Text(text), Here: s.request.URL.RequestURI()}
	text = strings.ToLower(text)
	if data.Possible = partOfName.MatchString(text); !data.Possible {
		return data, nil
	}
	found, err := s.lookThrough(ctx, text, placeOf(query, may))
	if err != nil {
		return nil, err
	}
	recurring, err := readAll(ctx, found.recurring, s.jobs.GetRecurring)
	if err != nil {
		return nil, err
	}
	jobs, err := readAll(ctx, found.jobs, s.jobs.Get)
	if err != nil {
		return nil, err
	}
	data.Looked, data.paging = found.looked, s.furtherThan(found)
	if data.Whole = data.Next == "" && data.First == ""; data.Whole {
		newestFirst(jobs)
	}
	for i := range recurring {
		data.Recurring = append(data.Recurring, recurringRowOf(s, &recurring[i]))
	}
	for i := range jobs {
		data.Rows = append(data.Rows, jobRowOf(s, &jobs[i]))
	}
	return data, nil
}

// place in the names of a workspace: those of recurring jobs come first, then those of jobs.
type place struct {
	jobs bool
	// next is which page of the API server's list, and after the last name in it that has
	// been shown.
	next, after string
}

func placeOf(query url.Values, may rights) place {
	return place{jobs: query.Get("in") == "jobs" || !may.Recurring, next: query.Get("continue"), after: query.Get("after")}
}

// found by its name.
type found struct {
	recurring, jobs []string
	looked          int
	// further is where to go on; nil: there is nothing.
	further *place
}

func (f *found) full() bool { return len(f.recurring)+len(f.jobs) >= pageSize }

// lookThrough names, from a place on, until a page is full or enough were looked at.
func (s *scope) lookThrough(ctx context.Context, text string, at place) (*found, error) {
	f := &found{further: &at}
	for !f.full() && f.looked < namesAtMost {
		list, err := s.names(ctx, at, min(namesAtOnce, namesAtMost-f.looked))
		if err != nil {
			return nil, err
		}
		if !f.take(list.Items, text, &at) {
			return f, nil
		}
		switch {
		case list.Continue != "":
			at = place{jobs: at.jobs, next: list.Continue}
		case !at.jobs:
			at = place{jobs: true}
		default:
			f.further = nil
			return f, nil
		}
	}
	return f, nil
}

// names in a page of a list.
func (s *scope) names(ctx context.Context, at place, limit int) (*metav1.PartialObjectMetadataList, error) {
	if at.jobs {
		return s.jobs.ListMetadata(ctx, client.ListOptions{Limit: int64(limit), Continue: at.next})
	}
	return s.jobs.ListRecurringMetadata(ctx, int64(limit), at.next)
}

// take the names that have the text in them; false: there are more than a page shows, and
// at is after the last one that it does.
func (f *found) take(items []metav1.PartialObjectMetadata, text string, at *place) bool {
	last := at.after
	for i := range items {
		name := items[i].Name
		if name <= at.after {
			continue
		}
		hit := strings.Contains(name, text)
		if hit && f.full() {
			at.after = last
			return false
		}
		f.looked++
		switch {
		case hit && at.jobs:
			f.jobs, last = append(f.jobs, name), name
		case hit:
			f.recurring, last = append(f.recurring, name), name
		}
	}
	return true
}

// furtherThan what was found, and back to the beginning.
func (s *scope) furtherThan(f *found) paging {
	query := s.request.URL.Query()
	here := url.Values{"q": {query.Get("q")}, "by": {"name"}}
	var p paging
	if query.Has("in") {
		p.First = pathWith(s.path("search"), here)
	}
	if f.further == nil {
		return p
	}
	here.Set("in", "recurring")
	if f.further.jobs {
		here.Set("in", "jobs")
	}
	for key, value := range map[string]string{"continue": f.further.next, "after": f.further.after} {
		if value != "" {
			here.Set(key, value)
		}
	}
	p.Next = pathWith(s.path("search"), here)
	return p
}

// readAll of these names, in their order. What is gone meanwhile is left out.
func readAll[T any](ctx context.Context, names []string, read func(context.Context, string) (*T, error)) ([]T, error) {
	all := make([]*T, len(names))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readsAtOnce)
	for i, name := range names {
		group.Go(func() error {
			object, err := read(ctx, name)
			if err == nil {
				all[i] = object
			}
			if apierrors.IsNotFound(err) {
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var there []T
	for _, object := range all {
		if object != nil {
			there = append(there, *object)
		}
	}
	return there, nil
}
