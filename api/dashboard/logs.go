package dashboard

import (
	"context"
	"errors"
	"html/template"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/openradius/workspace-jobs/api/auth"
	"github.com/openradius/workspace-jobs/api/logs"
	"github.com/openradius/workspace-jobs/api/printable"
	"github.com/openradius/workspace-jobs/api/stream"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

const (
	// shownLines and shownBytes limit the end of a log on the job's page.
	shownLines = 500
	shownBytes = 256 << 10
	// followedLines is how many lines are added to a page: more would slow the browser down.
	followedLines = 10_000
	// linePart is the longest part of a line that is sent at once, in bytes.
	linePart = 16 << 10
	// gather is how long lines are gathered before they are sent.
	gather = 200 * time.Millisecond
)

// logData is the log of one attempt.
type logData struct {
	Number  int32
	Text    string
	Problem string
	// URL is the address of the whole log.
	URL string
	// Follow is set if more lines will come.
	Follow bool
	// Sent is set if the lines come as events.
	Sent bool
}

// openLog opens the log of an attempt.
func (s *scope) openLog(ctx context.Context, attempt *v1alpha1.Attempt, options corev1.PodLogOptions) (*logs.Log, error) {
	return logs.Source{Caller: s.caller, Namespace: s.namespace(), Attempt: attempt, Recheck: recheck}.Open(ctx, options)
}

// logOf returns the last lines of an attempt's log.
func (s *scope) logOf(ctx context.Context, job *v1alpha1.WorkspaceJob, a *v1alpha1.Attempt) *logData {
	data := &logData{Number: a.Number, URL: s.path("jobs", job.Name, "attempts", strconv.Itoa(int(a.Number)), "log"), Follow: a.FinishedAt == nil}
	if a.StartedAt == nil && a.FinishedAt == nil {
		data.Problem = "The attempt has not started. Its log will appear here."
		return data
	}
	log, err := s.openLog(ctx, a, corev1.PodLogOptions{TailLines: new(int64(shownLines)), LimitBytes: new(int64(shownBytes))})
	if err == nil {
		defer log.Close()
		var text []byte
		text, err = io.ReadAll(io.LimitReader(log, shownBytes))
		data.Text = printable.Text(string(text))
	}
	if err != nil {
		data.Problem = logProblem(err)
	}
	return data
}

// logProblem says why a log can't be shown.
func logProblem(err error) string {
	switch {
	case errors.Is(err, logs.ErrGone):
		return "The log is gone: the attempt's pod was deleted under the workspace's retention, or never existed."
	case errors.Is(err, auth.ErrRevoked), apierrors.IsForbidden(err):
		return "Your role does not allow you to read logs here."
	case errors.Is(err, auth.ErrUnauthenticated):
		return "Your session has ended. Sign in again to read the log."
	case errors.Is(err, logs.ErrNotStarted):
		return "There is no log yet: the attempt's process has not started."
	default:
		return "The log can't be read now: the node that has it does not answer. Try again in a moment."
	}
}

// logText answers with the whole log, as text.
func (d *dashboard) logText(w http.ResponseWriter, r *http.Request, s *scope) {
	number, err := strconv.ParseInt(r.PathValue("attempt"), 10, 32)
	if err != nil || number < 1 {
		d.fail(w, r, s.user, errNoSuchName)
		return
	}
	job, err := s.jobs.Get(r.Context(), r.PathValue("job"))
	if err != nil {
		d.fail(w, r, s.user, err)
		return
	}
	attempt := job.Status.Attempt(int32(number))
	if attempt == nil {
		d.fail(w, r, s.user, logs.ErrGone)
		return
	}
	ctx, ok := d.takeStream(r.Context(), w, s)
	if !ok {
		return
	}
	log, err := s.openLog(ctx, attempt, corev1.PodLogOptions{Timestamps: r.URL.Query().Has("timestamps")})
	if err != nil {
		d.fail(w, r, s.user, err)
		return
	}
	defer log.Close()
	stream.CopyText(w, log)
}

// followLog sends the log of the current attempt, and then of the next one.
func followLog(ctx context.Context, s *scope, emit func(stream.Event)) func(pageData) {
	var followed int32
	var stop context.CancelFunc = func() {}
	return func(data pageData) {
		page, ok := data.(*jobData)
		if !ok || !page.May.Logs || s.request.URL.Query().Has("attempt") {
			return
		}
		attempt := chosenAttempt(s, page.job)
		if attempt == nil || attempt.Number == followed || attempt.StartedAt == nil {
			return
		}
		followed = attempt.Number
		stop()
		var following context.Context
		following, stop = context.WithCancel(ctx)
		go s.follow(following, page.job, attempt, emit)
	}
}

// follow sends a log from its last lines to its end. It does so even if the attempt has
// ended, since the page may have been opened before the attempt began.
func (s *scope) follow(ctx context.Context, job *v1alpha1.WorkspaceJob, attempt *v1alpha1.Attempt, emit func(stream.Event)) {
	number := attempt.Number
	data := logData{
		Number: number, URL: s.path("jobs", job.Name, "attempts", strconv.Itoa(int(number)), "log"), Follow: attempt.FinishedAt == nil, Sent: true,
	}
	log, err := s.openLog(ctx, attempt, corev1.PodLogOptions{Follow: true, TailLines: new(int64(shownLines))})
	if err != nil {
		data.Problem = logProblem(err)
		emitLog(data, emit)
		return
	}
	defer log.Close()
	// The first lines come in one event with the element that the others are added to. The
	// page has shown them before, and they must not vanish in between.
	begun := false
	sent, err := sendLines(ctx, log, func(lines string) {
		if !begun {
			data.Text, begun = lines, true
			emitLog(data, emit)
			return
		}
		emitLines(lines, emit)
	})
	switch {
	case ctx.Err() != nil: // nobody follows it any more
	case errors.Is(err, auth.ErrRevoked), errors.Is(err, auth.ErrUnauthenticated):
		data.Text, data.Problem = "", logProblem(err)
		emitLog(data, emit)
	default:
		emitLines(lastWords(sent, err), emit)
	}
}

// lastWords returns what is added to a log that was sent to its end, or until err.
func lastWords(sent int, err error) string {
	switch {
	case err != nil:
		return "\n… The connection to the log broke. Reload the page to see the rest.\n"
	case sent == 0:
		return "The attempt has written nothing."
	case sent >= followedLines:
		return "\n… The log is longer than this page can show. Open the whole log.\n"
	default:
		return ""
	}
}

func emitLog(data logData, emit func(stream.Event)) {
	if text, err := render("log", data); err == nil {
		emit(stream.Event{Name: "log", Data: text})
	}
}

func emitLines(lines string, emit func(stream.Event)) {
	emit(stream.Event{Name: "log-lines", Data: []byte(template.HTMLEscapeString(lines))})
}

// sendLines sends the lines of a log, gathered, until it ends or a page holds no more. It sends
// once at least, and returns how many lines there were and why the log ended early.
func sendLines(ctx context.Context, log io.Reader, send func(string)) (sent int, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	lines, ended := make(chan string), make(chan error, 1)
	go func() { ended <- readLines(ctx, log, lines) }()
	var pending strings.Builder
	tick := time.NewTicker(gather)
	defer tick.Stop()
	begun := false
	for sent < followedLines {
		select {
		case line := <-lines:
			pending.WriteString(printable.Text(line))
			sent++
		case err := <-ended:
			send(pending.String())
			return sent, err
		case <-tick.C:
			if pending.Len() > 0 || !begun {
				send(pending.String())
				pending.Reset()
				begun = true
			}
		case <-ctx.Done():
			return sent, nil
		}
	}
	send(pending.String())
	return sent, nil
}

// readLines passes on the lines of a log. It returns nil at its end.
func readLines(ctx context.Context, log io.Reader, lines chan<- string) error {
	reading := logs.NewLines(log, linePart, false)
	for {
		line, err := reading.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !line.More {
			line.Text += "\n"
		}
		select {
		case lines <- line.Text:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
