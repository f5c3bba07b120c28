// Package runner is the library for writing handlers of Workspace Jobs, and the
// process that runs them. A runner image is a program that calls [Main] with its
// handlers:
//
//	func main() {
//		runner.Main(
//			runner.Handle("data-cleanup", cleanup),        // func(context.Context, *runner.Job[CleanupArgs]) error
//			runner.HandleTx("close-sessions", closeStale), // func(context.Context, pgx.Tx, *runner.Job[CloseArgs]) error
//		)
//	}
//
// A WorkspaceJob has one run, and one more for each requeue. A run may be attempted
// many times, by processes that are killed, frozen, cut off or started twice. What
// its handler does in the transaction that it is given still takes effect once:
//
//   - [HandleTx]: the handler gets one transaction; its effects and the run's
//     completion commit together.
//   - [Handle]: the handler works in as many transactions as it likes with
//     [Job.Tx]. Each commits together with a checkpoint, and the next attempt
//     continues from there.
//
// What a handler does outside these transactions (a request to another service, a
// statement on [Job.Pool]) may happen more than once: make it safe to repeat.
package runner
