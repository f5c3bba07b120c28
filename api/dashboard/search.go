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
	// namesAtOnce are read by one list, and at most namesAtMost searched for one page. The
	// API server can't select by a part of a name.
	namesAtOnce = 500
	namesAtMost = 2000
	// readsAtOnce is how many objects that were found are read at once.
	readsAtOnce = 8
)

// partOfName matches what a name can contain. Nothing else is searched for.
var partOfName = regexp.MustCompile(`^[a-z0-9-]{1,58}$`)

var searchPage = page{name: "search", section: "search", load: loadSearch}

// search redirects to the job or recurring job of a name, or to the list of the jobs with a
// handler or key. If nothing has the name, it shows the names that contain it.
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
	// On a further page it is known that nothing has this name.
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

// find returns the path of what has a name; "" if nothing does.
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
	// Possible is set if a name can contain the text.
	Possible bool
	// Searched is how many names were searched.
	Searched  int
	Recurring []recurringRow
	Rows      []jobRow
	// Whole is set if this page shows everything that was found.
	Whole bool
	// Here is the page to return to after an action.
	Here string
}

// Found returns how many names contain the text.
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
	found, err := s.lookThrough(ctx, text, positionOf(query, may))
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
	data.Searched, data.paging = found.searched, s.furtherThan(found)
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

// position is one among the names of a workspace: those of recurring jobs come first, then
// those of jobs.
type position struct {
	jobs bool
	// next is the page of the API server's list, and after the last name on it that was
	// shown.
	next, after string
}

func positionOf(query url.Values, may rights) position {
	return position{jobs: query.Get("in") == "jobs" || !may.Recurring, next: query.Get("continue"), after: query.Get("after")}
}

// found is what was found by a part of its name.
type found struct {
	recurring, jobs []string
	searched        int
	// further is where to continue; nil at the end.
	further *position
}

func (f *found) full() bool { return len(f.recurring)+len(f.jobs) >= pageSize }

// lookThrough searches the names from a position on, until a page is full or namesAtMost
// were searched.
func (s *scope) lookThrough(ctx context.Context, text string, at position) (*found, error) {
	f := &found{further: &at}
	for !f.full() && f.searched < namesAtMost {
		list, err := s.names(ctx, at, min(namesAtOnce, namesAtMost-f.searched))
		if err != nil {
			return nil, err
		}
		if !f.take(list.Items, text, &at) {
			return f, nil
		}
		switch {
		case list.Continue != "":
			at = position{jobs: at.jobs, next: list.Continue}
		case !at.jobs:
			at = position{jobs: true}
		default:
			f.further = nil
			return f, nil
		}
	}
	return f, nil
}

// names returns a page of names.
func (s *scope) names(ctx context.Context, at position, limit int) (*metav1.PartialObjectMetadataList, error) {
	if at.jobs {
		return s.jobs.ListMetadata(ctx, client.ListOptions{Limit: int64(limit), Continue: at.next})
	}
	return s.jobs.ListRecurringMetadata(ctx, int64(limit), at.next)
}

// take adds the names that contain the text. It returns false if there are more than a page
// shows; at is then after the last one that it shows.
func (f *found) take(items []metav1.PartialObjectMetadata, text string, at *position) bool {
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
		f.searched++
		switch {
		case hit && at.jobs:
			f.jobs, last = append(f.jobs, name), name
		case hit:
			f.recurring, last = append(f.recurring, name), name
		}
	}
	return true
}

// furtherThan returns the links to the names after those that were found, and to the first.
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

// readAll reads the objects of these names, in their order, without those that were deleted
// meanwhile.
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
