package dashboard

import (
	"bufio"
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
	"github.com/openradius/workspace-jobs/api/printable"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

const (
	// shownLines of a log are shown on the job's page; all of it is a text of its own.
	shownLines = 500
	shownBytes = 256 << 10
	// followedLines are added to a page at most: a browser would choke on more.
	followedLines = 10_000
	// lineLimit cuts what has no end of line.
	lineLimit = 16 << 10
	// gather lines for so long before they are sent.
	gather = 200 * time.Millisecond
)

// logData is the log of one attempt.
type logData struct {
	Number  int32
	Text    string
	Problem string
	// URL of the whole log.
	URL string
	// Follow: more lines will come.
	Follow bool
	// Sent: its lines come as events.
	Sent bool
}

// openLog of an attempt.
func (s *scope) openLog(ctx context.Context, attempt *v1alpha1.Attempt, options corev1.PodLogOptions) (io.ReadCloser, error) {
	pod, err := s.caller.PodOf(ctx, s.namespace(), attempt)
	if err != nil {
		return nil, err
	}
	options.Container = v1alpha1.RunnerContainer
	return s.caller.Kubernetes().CoreV1().Pods(s.namespace()).GetLogs(pod.Name, &options).Stream(ctx)
}

// logOf an attempt as it is now: its last lines.
func (s *scope) logOf(ctx context.Context, job *v1alpha1.WorkspaceJob, a *v1alpha1.Attempt) *logData {
	data := &logData{Number: a.Number, URL: s.path("jobs", job.Name, "attempts", strconv.Itoa(int(a.Number)), "log"), Follow: a.FinishedAt == nil}
	if a.StartedAt == nil && a.FinishedAt == nil {
		data.Problem = "The attempt has not started: its log appears here when it does."
		return data
	}
	stream, err := s.openLog(ctx, a, corev1.PodLogOptions{TailLines: new(int64(shownLines)), LimitBytes: new(int64(shownBytes))})
	if err == nil {
		defer stream.Close()
		var text []byte
		text, err = io.ReadAll(io.LimitReader(stream, shownBytes))
		data.Text = printable.Text(string(text))
	}
	if err != nil {
		data.Problem = logProblem(err)
	}
	return data
}

func logProblem(err error) string {
	switch {
	case errors.Is(err, auth.ErrNoPod), apierrors.IsNotFound(err):
		return "The log is gone: the attempt's pod was deleted, as the workspace's retention says, or never was."
	case apierrors.IsForbidden(err):
		return "Your role does not allow you to read logs here."
	case apierrors.IsBadRequest(err):
		return "There is no log yet: " + told(err)
	default:
		return "The log can't be read now: the node that has it does not answer."
	}
}

// logText is the whole log, as text.
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
		d.refuseTo(w, r, s.user, http.StatusNotFound, logProblem(auth.ErrNoPod))
		return
	}
	stream, err := s.openLog(r.Context(), attempt, corev1.PodLogOptions{Timestamps: r.URL.Query().Has("timestamps")})
	if err != nil && (errors.Is(err, auth.ErrNoPod) || !apierrors.IsForbidden(err) && !apierrors.IsUnauthorized(err)) {
		d.refuseTo(w, r, s.user, http.StatusNotFound, logProblem(err))
		return
	}
	if err != nil {
		d.fail(w, r, s.user, err)
		return
	}
	defer stream.Close()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.Copy(w, stream)
}

// followLog sends the log of the attempt that runs, and then of the next one.
func followLog(ctx context.Context, s *scope, may rights, emit func(event)) func(pageData) {
	var followed int32
	var stop context.CancelFunc = func() {}
	return func(data pageData) {
		page, ok := data.(*jobData)
		if !ok || !may.Logs || s.request.URL.Query().Has("attempt") {
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

// follow a log from its last lines to its end. That of an attempt that has ended ends at
// once: the page may have been opened before the attempt began.
func (s *scope) follow(ctx context.Context, job *v1alpha1.WorkspaceJob, attempt *v1alpha1.Attempt, emit func(event)) {
	number := attempt.Number
	data := logData{
		Number: number, URL: s.path("jobs", job.Name, "attempts", strconv.Itoa(int(number)), "log"), Follow: attempt.FinishedAt == nil, Sent: true,
	}
	stream, err := s.openLog(ctx, attempt, corev1.PodLogOptions{Follow: true, TailLines: new(int64(shownLines))})
	if err != nil {
		data.Problem = logProblem(err)
		emitLog(data, emit)
		return
	}
	defer stream.Close()
	// The first lines come with the place where the others go: the page has shown them
	// before, and they must not vanish in between.
	placed := false
	sent := sendLines(ctx, stream, func(lines string) {
		if !placed {
			data.Text, placed = lines, true
			emitLog(data, emit)
			return
		}
		emitLines(lines, emit)
	})
	if sent == 0 && ctx.Err() == nil {
		emitLines("The attempt has written nothing.", emit)
	}
	if sent >= followedLines {
		emitLines("\n… more than a page can hold: open the whole log.\n", emit)
	}
}

func emitLog(data logData, emit func(event)) {
	if text, err := render("log", data); err == nil {
		emit(event{"log", text})
	}
}

func emitLines(lines string, emit func(event)) {
	emit(event{"log-lines", []byte(template.HTMLEscapeString(lines))})
}

// sendLines sends lines, gathered, and returns how many there were. It sends once at
// least.
func sendLines(ctx context.Context, stream io.Reader, send func(string)) int {
	lines := make(chan string)
	go func() {
		defer close(lines)
		reader := bufio.NewReaderSize(stream, lineLimit)
		for {
			line, err := reader.ReadSlice('\n')
			if len(line) > 0 {
				select {
				case lines <- string(line):
				case <-ctx.Done():
					return
				}
			}
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				return
			}
		}
	}()
	var pending strings.Builder
	tick := time.NewTicker(gather)
	defer tick.Stop()
	begun := false
	for sent := 0; ; {
		select {
		case line, open := <-lines:
			if open && sent < followedLines {
				pending.WriteString(printable.Text(line))
				sent++
				continue
			}
			send(pending.String())
			return sent
		case <-tick.C:
			if pending.Len() > 0 || !begun {
				send(pending.String())
				pending.Reset()
				begun = true
			}
		case <-ctx.Done():
			return sent
		}
	}
}
