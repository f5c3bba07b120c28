package client_test

import (
	"context"
	"fmt"
	"time"

	"github.com/openradius/workspace-jobs/api/client"
	"github.com/openradius/workspace-jobs/api/client/cron"
)

// CleanupArgs are the arguments of the stock handler data-cleanup.
type CleanupArgs struct {
	Table     string `json:"table"`
	Column    string `json:"column"`
	OlderThan string `json:"olderThan"`
}

// This example enqueues a job and waits for its end. In a pod, config comes from
// rest.InClusterConfig.
func Example() {
	ctx := context.Background()
	acme := client.New(config).For("acme")

	job, err := acme.Enqueue(ctx, "data-cleanup", CleanupArgs{Table: "sessions", Column: "ended", OlderThan: "365d"})
	if err != nil {
		fmt.Println(err)
		return
	}
	job, err = acme.Wait(ctx, job.Name)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(job.Status.State)
	// Output: Succeeded
}

// With a Handler, the compiler checks the arguments.
func ExampleHandlerOf() {
	ctx := context.Background()
	cleanup := client.HandlerOf[CleanupArgs](client.New(config).For("acme"), "data-cleanup")

	args := CleanupArgs{Table: "sessions", Column: "ended", OlderThan: "365d"}
	job, err := cleanup.Schedule(ctx, args, 30*time.Minute, client.WithName("after-lunch"), client.WithPriority(10), client.WithRetries(3))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(job.Name, job.Spec.Delay.Duration)
	// Output: after-lunch 30m0s
}

// A caller who does not know whether the first request arrived enqueues the job again. It
// exists once.
func ExampleWithIdempotencyKey() {
	ctx := context.Background()
	acme := client.New(config).For("acme")
	args := map[string]string{"id": "invoices", "period": "2026-10"}

	first, err := acme.Enqueue(ctx, "report", args, client.WithIdempotencyKey("invoices/2026-10"))
	if err != nil {
		fmt.Println(err)
		return
	}
	second, err := acme.Enqueue(ctx, "report", args, client.WithIdempotencyKey("invoices/2026-10"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(first.UID == second.UID)
	// Output: true
}

// This recurring job runs at 02:00 every night and once now, and is then removed.
func ExampleWorkspace_AddOrUpdateRecurring() {
	ctx := context.Background()
	acme := client.New(config).For("acme")

	_, err := acme.AddOrUpdateRecurring(ctx, "daily-job", "external-sync", nil, cron.Daily(2), client.InTimeZone("Europe/Berlin"))
	if err != nil {
		fmt.Println(err)
		return
	}
	run, err := acme.Trigger(ctx, "daily-job")
	if err == nil {
		run, err = acme.Wait(ctx, run.Name)
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(run.Status.State)
	if err := acme.RemoveRecurring(ctx, "daily-job"); err != nil {
		fmt.Println(err)
	}
	// Output: Succeeded
}
