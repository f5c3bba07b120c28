package dashboard

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/openradius/workspace-jobs/api/schedule"
)

func pause(ctx context.Context, s *scope, name string) error {
	_, err := s.jobs.PauseRecurring(ctx, name)
	return err
}
func resume(ctx context.Context, s *scope, name string) error {
	_, err := s.jobs.ResumeRecurring(ctx, name)
	return err
}
func removeRecurring(ctx context.Context, s *scope, name string) error {
	return s.jobs.RemoveRecurring(ctx, name)
}

func onRecurring(notice string, do func(ctx context.Context, s *scope, name string) error) func(*dashboard, http.ResponseWriter, *http.Request, *scope) {
	return func(d *dashboard, w http.ResponseWriter, r *http.Request, s *scope) {
		name := r.PathValue("recurring")
		if err := do(r.Context(), s, name); err != nil {
			d.fail(w, r, s.user, err)
			return
		}
		target := s.path("recurring", name)
		if notice == "removed" {
			target = s.path("recurring")
		}
		seeOther(w, r, s.back(r, target, notice, 0))
	}
}

// trigger creates a run now and shows it.
func (d *dashboard) trigger(w http.ResponseWriter, r *http.Request, s *scope) {
	name := r.PathValue("recurring")
	// A run of a recurring job that does not exist would wait for it.
	if _, err := s.jobs.GetRecurring(r.Context(), name); err != nil {
		d.fail(w, r, s.user, err)
		return
	}
	job, err := s.jobs.Trigger(r.Context(), name)
	if err != nil {
		d.fail(w, r, s.user, err)
		return
	}
	seeOther(w, r, s.path("jobs", job.Name)+"?notice=triggered")
}

// reschedule changes the schedule. It reports a wrong one as the operator would.
func (d *dashboard) reschedule(w http.ResponseWriter, r *http.Request, s *scope) {
	name, expression, zone := r.PathValue("recurring"), strings.TrimSpace(r.PostFormValue("schedule")), strings.TrimSpace(r.PostFormValue("zone"))
	if _, err := schedule.Parse(expression, zone, s.namespace()+"/"+name); err != nil {
		d.refuseTo(w, r, s.user, http.StatusUnprocessableEntity, scheduleProblem(err))
		return
	}
	if _, err := s.jobs.Reschedule(r.Context(), name, expression, zone); err != nil {
		d.fail(w, r, s.user, err)
		return
	}
	seeOther(w, r, s.path("recurring", name)+"?notice=rescheduled")
}

func scheduleProblem(err error) string {
	var wrong *schedule.ScheduleError
	var zone *schedule.TimeZoneError
	if errors.As(err, &wrong) || errors.As(err, &zone) {
		return err.Error()
	}
	return "This schedule can't be read."
}
