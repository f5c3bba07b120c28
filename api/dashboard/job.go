package dashboard

import (
	"context"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openradius/workspace-jobs/api/printable"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// attemptRow is an attempt in a job's table.
type attemptRow struct {
	Number, Run       int32
	Created, Started  *moment
	Finished          *moment
	Took              string
	Outcome           string
	ExitCode          string
	Error             string
	LogURL, LogText   string
	UnderWay, Current bool
}

// step is a step of a job's timeline.
type step struct {
	When *moment
	Text string
	// State sets the colour.
	State string
	URL   string
}

// link is a link to another object.
type link struct{ Name, URL, Text string }

// fact is a detail of a job.
type fact struct {
	Word, Text string
	Moment     *moment
}

type jobData struct {
	base
	job          *v1alpha1.WorkspaceJob
	Name, State  string
	Message      string
	Facts        []fact
	Attempts     []attemptRow
	Timeline     []step
	Parents      []link
	Recurring    *link
	Args, Result string
	Final        bool
	Cancelling   bool
	Log          *logData
	// Here is where to come back to after an action.
	Here string
}

func (d *jobData) version() string { return d.job.ResourceVersion }

func (d *jobData) announcement() string {
	return "The job " + d.Name + " is " + strings.ToLower(d.State) + "."
}

func loadJob(ctx context.Context, s *scope, may rights) (pageData, error) {
	job, err := s.jobs.Get(ctx, s.request.PathValue("job"))
	if err != nil {
		return nil, err
	}
	data := jobDataOf(s, job)
	if attempt := chosenAttempt(s, job); attempt != nil && may.Logs {
		data.Log = s.logOf(ctx, job, attempt)
	}
	return data, nil
}

func jobDataOf(s *scope, job *v1alpha1.WorkspaceJob) *jobData {
	status := &job.Status
	data := &jobData{
		base: base{Title: job.Name}, job: job, Name: job.Name, State: string(status.State), Message: printable.Text(status.Message), Facts: factsOf(job),
		Timeline: timelineOf(job), Result: prettyJSON(status.Result), Final: status.State.Final(), Cancelling: job.Spec.Cancelled && !status.State.Final(),
		Here: s.path("jobs", job.Name),
	}
	if template := job.Template(); template != nil {
		data.Args = prettyJSON(template.Args)
	}
	chosen := chosenAttempt(s, job)
	for i := range slices.Backward(status.Attempts) {
		row := attemptRowOf(s, job, &status.Attempts[i])
		row.Current = chosen != nil && chosen.Number == row.Number
		data.Attempts = append(data.Attempts, row)
	}
	for _, parent := range job.Spec.After {
		text := "waits until it has " + string(parent.When)
		if parent.When == v1alpha1.AfterFinished {
			text = "waits until it has finished"
		}
		for _, ended := range status.Parents {
			if ended.Name == parent.Name {
				text = string(ended.State)
			}
		}
		data.Parents = append(data.Parents, link{parent.Name, s.path("jobs", parent.Name), text})
	}
	if series := job.Series(); series != "" {
		data.Recurring = &link{Name: series, URL: s.path("recurring", series)}
	}
	return data
}

// chosenAttempt returns the attempt that the query names, or the last one; nil if there is none.
func chosenAttempt(s *scope, job *v1alpha1.WorkspaceJob) *v1alpha1.Attempt {
	number := s.request.URL.Query().Get("attempt")
	for i := range slices.Backward(job.Status.Attempts) {
		if number == "" || strconv.Itoa(int(job.Status.Attempts[i].Number)) == number {
			return &job.Status.Attempts[i]
		}
	}
	return nil
}

func attemptRowOf(s *scope, job *v1alpha1.WorkspaceJob, a *v1alpha1.Attempt) attemptRow {
	number := strconv.Itoa(int(a.Number))
	row := attemptRow{
		Number: a.Number, Run: a.Run, Created: at(a.CreatedAt), Started: at(a.StartedAt), Finished: at(a.FinishedAt), Took: between(a.StartedAt, a.FinishedAt),
		Outcome: string(a.Outcome), Error: printable.Text(a.Error), UnderWay: a.FinishedAt == nil,
		LogURL: s.path("jobs", job.Name) + "?attempt=" + number + "#log", LogText: s.path("jobs", job.Name, "attempts", number, "log"),
	}
	if a.ExitCode != nil {
		row.ExitCode = strconv.Itoa(int(*a.ExitCode))
	}
	switch {
	case row.Outcome != "":
	case a.StartedAt != nil:
		row.Outcome = "Running"
	default:
		row.Outcome = "Starting"
	}
	return row
}

// factsOf returns the details of a job.
func factsOf(job *v1alpha1.WorkspaceJob) []fact {
	spec, status := &job.Spec, &job.Status
	facts := []fact{{Word: "Handler", Text: handlerOf(job)}, {Word: "Queue", Text: status.Queue}}
	if t := job.Template(); t != nil {
		facts = append(facts, fact{Word: "Concurrency key", Text: printable.Text(t.ConcurrencyKey)})
		if t.Timeout != nil {
			facts = append(facts, fact{Word: "Timeout", Text: duration(t.Timeout.Duration)})
		}
		if t.Retry != nil && t.Retry.Limit != nil {
			facts = append(facts, fact{Word: "Retry limit", Text: strconv.Itoa(int(*t.Retry.Limit))})
		}
	}
	if ttl := job.TTLAfterFinished(); ttl != nil {
		facts = append(facts, fact{Word: "Kept after it finishes", Text: duration(ttl.Duration)})
	}
	if spec.Delay != nil {
		facts = append(facts, fact{Word: "Delay", Text: duration(spec.Delay.Duration)})
	}
	facts = append(facts, fact{Word: "Priority", Text: strconv.Itoa(int(job.Priority()))})
	if status.Run > 0 {
		facts = append(facts, fact{Word: "Run", Text: strconv.Itoa(int(status.Run)) + ", with " + count(int(status.RunAttempts), "attempt")})
	}
	facts = append(facts,
		fact{Word: "Created by", Text: printable.Text(job.Annotations[v1alpha1.AnnotationCreatedBy])},
		fact{Word: "Requeued by", Text: authorOf(job, v1alpha1.AnnotationRequeuedBy)},
		fact{Word: "Cancelled by", Text: authorOf(job, v1alpha1.AnnotationCancelledBy)},
		fact{Word: "To run at", Moment: at(spec.RunAt)}, fact{Word: "Next attempt", Moment: at(status.NextAttemptAt)},
		fact{Word: "Took", Text: between(status.StartedAt, status.FinishedAt)})
	return slices.DeleteFunc(facts, func(f fact) bool { return f.Text == "" && f.Moment == nil })
}

// authorOf returns who made the latest change, if the annotation is about it.
func authorOf(object metav1.Object, annotation string) string {
	return printable.Text(v1alpha1.Author(object, annotation))
}

// timelineOf returns what happened, oldest first.
func timelineOf(job *v1alpha1.WorkspaceJob) []step {
	status := &job.Status
	steps := []step{{When: at(job.CreationTimestamp), Text: "Created"}}
	if due, ok := job.ScheduledAt(); ok {
		steps = append(steps, step{When: at(due), Text: "Due by its schedule", State: string(v1alpha1.StateScheduled)})
	}
	enqueued := step{When: at(status.EnqueuedAt), Text: "Enqueued", State: string(v1alpha1.StateEnqueued)}
	if status.Run > 1 {
		enqueued.Text = "Enqueued, run " + strconv.Itoa(int(status.Run))
	}
	added := status.EnqueuedAt == nil
	for i := range status.Attempts {
		if !added && status.Attempts[i].Run == status.Run {
			steps, added = append(steps, enqueued), true
		}
		steps = append(steps, stepsOfAttempt(&status.Attempts[i])...)
	}
	if !added {
		steps = append(steps, enqueued)
	}
	if status.State.Final() && status.FinishedAt != nil {
		steps = append(steps, step{When: at(status.FinishedAt), Text: string(status.State), State: string(status.State)})
	}
	// The API keeps whole seconds, so steps of the same second keep their order.
	slices.SortStableFunc(steps, func(a, b step) int { return compareMoments(a.When, b.When) })
	if status.NextAttemptAt != nil && !status.State.Final() {
		steps = append(steps, step{When: at(status.NextAttemptAt), Text: "Next attempt is due", State: string(v1alpha1.StateScheduled)})
	}
	return steps
}

func compareMoments(a, b *moment) int {
	switch {
	case a == nil || b == nil || a.Machine == b.Machine:
		return 0
	case a.Machine < b.Machine:
		return -1
	default:
		return 1
	}
}

func stepsOfAttempt(a *v1alpha1.Attempt) []step {
	name := "Attempt " + strconv.Itoa(int(a.Number))
	var steps []step
	if a.StartedAt != nil {
		steps = append(steps, step{When: at(a.StartedAt), Text: name + " started", State: string(v1alpha1.StateProcessing)})
	}
	if a.FinishedAt != nil {
		state := string(v1alpha1.StateFailed)
		switch a.Outcome {
		case v1alpha1.OutcomeSucceeded:
			state = string(v1alpha1.StateSucceeded)
		case v1alpha1.OutcomeCancelled, v1alpha1.OutcomeReplaced:
			state = string(v1alpha1.StateDeleted)
		}
		steps = append(steps, step{When: at(a.FinishedAt), Text: name + ": " + string(a.Outcome), State: state})
	}
	return steps
}
