package e2e

import (
	"syscall"
	"testing"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// newTenantBehind creates a tenant whose runners reach PostgreSQL through a proxy, with the
// table that counts effects.
func newTenantBehind(t *testing.T, name string, start func(*tenant) *proxy, options ...func(*v1alpha1.Workspace)) (*tenant, *proxy) {
	t.Helper()
	tn := newDatabase(t, name)
	p := start(tn)
	tn.adoptable()
	tn.giveSecret(p.urlOf(t, tn.url))
	tn.create(options...)
	tn.waitReady()
	tn.exec(createEffects)
	return tn, p
}

func newTenantWithEffects(t *testing.T, name string, options ...func(*v1alpha1.Workspace)) *tenant {
	t.Helper()
	tn := newTenant(t, name, options...)
	tn.exec(createEffects)
	return tn
}

func TestOnceInEffectWhenTheRunnerIsKilledBeforeItsCommit(t *testing.T) {
	t.Parallel()
	tn, held := newTenantBehind(t, "killed-before-commit", func(tn *tenant) *proxy { return tn.holdCommit(statement(insertEffect)) })
	tn.start(tn.makeSQL("add", insertEffect))
	held.waitHeld(tn)
	tn.wantEffects(0)
	signalPod(t, tn.runningPod("add", 1), syscall.SIGKILL)

	job := tn.waitFinal("add", v1alpha1.StateSucceeded)
	tn.wantEffects(1)
	wantAttempts(t, job, v1alpha1.OutcomeFailed, v1alpha1.OutcomeSucceeded)
	wantKilled(t, job)
}

func TestOnceInEffectWhenTheRunnerIsKilledBetweenABatchAndTheNext(t *testing.T) {
	t.Parallel()
	tn, held := newTenantBehind(t, "killed-after-commit", func(tn *tenant) *proxy { return tn.holdAnswer(statement(insertEffect)) })
	// This is the first of two transactions, so the run continues after it.
	tn.start(tn.makeJob("add", "sql").ArgsOf(map[string]any{"statements": []string{insertEffect, "SELECT 1"}, "transaction": "each"}))
	held.waitHeld(tn)
	tn.wantEffects(1)
	signalPod(t, tn.runningPod("add", 1), syscall.SIGKILL)

	job := tn.waitFinal("add", v1alpha1.StateSucceeded)
	tn.wantEffects(1)
	wantAttempts(t, job, v1alpha1.OutcomeFailed, v1alpha1.OutcomeSucceeded)
	wantKilled(t, job)
}

func TestOnceInEffectWhenTheRunnerIsKilledBetweenCompletionAndExit(t *testing.T) {
	t.Parallel()
	// The marker is the run's new state, which is written to the ledger when the run completes.
	tn, held := newTenantBehind(t, "killed-before-exit", func(tn *tenant) *proxy { return tn.holdAnswer(parameter("Succeeded")) })
	tn.start(tn.makeSQL("add", insertEffect))
	held.waitHeld(tn)
	tn.wantEffects(1)
	if got := tn.count(`SELECT count(*) FROM hangfire.runs WHERE state = 'Succeeded'`); got != 1 {
		t.Fatalf("%d runs are complete, want 1", got)
	}
	signalPod(t, tn.runningPod("add", 1), syscall.SIGKILL)

	job := tn.waitFinal("add", v1alpha1.StateSucceeded)
	tn.wantEffects(1)
	wantAttempts(t, job, v1alpha1.OutcomeFailed, v1alpha1.OutcomeSucceeded)
	wantKilled(t, job)
}

func TestOnceInEffectWithTwoRunnersOfOneAttempt(t *testing.T) {
	t.Parallel()
	tn := newTenantWithEffects(t, "two-runners")
	barrier := tn.closeBarrier()
	tn.start(tn.makeSQL("add", insertEffect, passBarrier))
	barrier.waitFor(1)
	first := tn.runningPod("add", 1)
	second := tn.twin(first)
	tn.waitLog(second, "another runner works on this job")
	barrier.lift()

	for _, pod := range []string{"first", "second"} {
		of := map[string]int32{"first": tn.waitExit(first), "second": tn.waitExit(second)}
		if code := of[pod]; code != 0 {
			t.Errorf("the %s runner exited with %d", pod, code)
		}
	}
	job := tn.waitFinal("add", v1alpha1.StateSucceeded)
	tn.wantEffects(1)
	wantAttempts(t, job, v1alpha1.OutcomeSucceeded)
}

func TestOnceInEffectWhenAFrozenRunnerIsOvertakenAndWakes(t *testing.T) {
	t.Parallel()
	tn := newTenantWithEffects(t, "frozen")
	barrier := tn.closeBarrier()
	tn.start(tn.makeSQL("add", insertEffect, passBarrier))
	barrier.waitFor(1)
	frozen := tn.runningPod("add", 1)
	signalPod(t, frozen, syscall.SIGSTOP)
	overtaking := tn.twin(frozen)
	tn.waitLog(overtaking, "taking over a run whose lease ran out")
	barrier.lift()
	if code := tn.waitExit(overtaking); code != 0 {
		t.Errorf("the runner that took over exited with %d", code)
	}
	tn.wantEffects(1)

	signalPod(t, frozen, syscall.SIGCONT)
	job := tn.waitFinal("add", v1alpha1.StateSucceeded)
	tn.wantEffects(1)
	wantAttempts(t, job, v1alpha1.OutcomeSucceeded)
}

// TestOnceInEffectWhenACommitArrivesAfterATakeover freezes a runner that has sent its COMMIT,
// which reaches PostgreSQL only after another runner has taken over, as after a network
// partition.
func TestOnceInEffectWhenACommitArrivesAfterATakeover(t *testing.T) {
	t.Parallel()
	tn, late := newTenantBehind(t, "late-commit", func(tn *tenant) *proxy { return tn.holdCommit(statement(insertEffect)) })
	tn.start(tn.makeSQL("add", insertEffect))
	late.waitHeld(tn)
	frozen := tn.runningPod("add", 1)
	signalPod(t, frozen, syscall.SIGSTOP)
	overtaking := tn.twin(frozen)
	if code := tn.waitExit(overtaking); code != 0 {
		t.Errorf("the runner that took over exited with %d", code)
	}
	tn.wantEffects(1)
	late.passOn()

	signalPod(t, frozen, syscall.SIGCONT)
	job := tn.waitFinal("add", v1alpha1.StateSucceeded)
	tn.wantEffects(1)
	wantAttempts(t, job, v1alpha1.OutcomeSucceeded)
}

// wantKilled checks that the first attempt was ended by SIGKILL.
func wantKilled(t *testing.T, job *v1alpha1.WorkspaceJob) {
	t.Helper()
	const killed = 128 + int32(syscall.SIGKILL)
	if code := job.Status.Attempts[0].ExitCode; code == nil || *code != killed {
		t.Errorf("attempt 1 has the exit code %v, want %d", code, killed)
	}
}
