package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/openradius/workspace-jobs/runner/contract"
	"github.com/openradius/workspace-jobs/runner/ledger"
)

// Main is the main function of a runner image. It runs the command in its one
// argument, with the environment of the runner contract (see package contract), and
// exits. It does not return.
func Main(handlers ...Handler) { MainVersion("", handlers...) }

// MainVersion is like [Main], for a program that knows its version. It prints the
// version for --version and adds it to the log. If version is empty, it uses the
// module's version.
func MainVersion(version string, handlers ...Handler) {
	p := process{
		started: time.Now(), args: os.Args[1:], getenv: os.Getenv,
		stdout: os.Stdout, stderr: os.Stderr, handlers: handlers, version: version,
	}
	os.Exit(p.main())
}

// process is the environment of Main.
type process struct {
	started        time.Time
	args           []string
	getenv         func(string) string
	stdout, stderr io.Writer
	handlers       []Handler
	timing         ledger.Timing
	grace          time.Duration
	version        string
}

func (p process) main() int {
	if len(p.args) != 1 {
		return p.usage()
	}
	switch p.args[0] {
	case contract.CommandRun:
		return p.answer(p.run)
	case contract.CommandMigrate:
		return p.answer(func(ctx context.Context, _ *slog.Logger) Outcome {
			return Migrate(ctx, describeDatabase(p.getenv))
		})
	case "handlers":
		return p.list()
	case "help", "-h", "-help", "--help":
		fmt.Fprint(p.stdout, usageText)
		return contract.ExitDone
	case "version", "-version", "--version":
		fmt.Fprintln(p.stdout, p.versionText())
		return contract.ExitDone
	default:
		return p.usage()
	}
}

const usageText = `A runner of Workspace Jobs. It takes one argument:

  run        run the job that the environment describes
  migrate    bring the ledger in the workspace's database up to date
  handlers   list the handlers of this image and their arguments
  --version  print the version
  --help     print this text

The operator sets the environment: see docs/runner-contract.md.
`

func (p process) usage() int {
	fmt.Fprint(p.stderr, usageText)
	if len(p.args) == 1 {
		fmt.Fprintf(p.stderr, "\nunknown argument %q\n", p.args[0])
	}
	return contract.ExitUsage
}

func (p process) list() int {
	if err := checkNames(p.handlers); err != nil {
		fmt.Fprintln(p.stderr, err)
		return contract.ExitUsage
	}
	sorted := slices.SortedFunc(slices.Values(p.handlers), func(a, b Handler) int { return strings.Compare(a.name, b.name) })
	for _, handler := range sorted {
		fmt.Fprintf(p.stdout, "%s\t%s\n", handler.name, strings.Join(handler.fields, " "))
	}
	return contract.ExitDone
}

// versionText returns the program's version, or the module's.
func (p process) versionText() string {
	if p.version != "" {
		return p.version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Path + " " + info.Main.Version
}

// run is the command "run".
func (p process) run(ctx context.Context, log *slog.Logger) Outcome {
	d, err := describe(p.getenv, p.started)
	if err != nil {
		return outcomeOf(ctx, err)
	}
	log = log.With("job", d.Name, "id", d.JobID, "run", d.Run, "attempt", d.Attempt, "workspace", d.Workspace, "queue", d.Queue)
	return Run(ctx, Config{Handlers: p.handlers, Logger: log, Timing: p.timing, Grace: p.grace}, d)
}

// answer does the work, interrupts it on SIGTERM or SIGINT, and reports the outcome
// in the log, in the termination message and by the exit code.
func (p process) answer(work func(context.Context, *slog.Logger) Outcome) int {
	redact := newRedactor(p.getenv(contract.EnvDatabaseURL))
	log := slog.New(slog.NewJSONHandler(redact.writer(p.stdout), nil))
	if p.version != "" {
		log = log.With("version", p.version)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	go func() {
		select {
		case got := <-signals:
			log.Info("interrupted", "signal", got.String())
			cancel(errInterrupted)
		case <-ctx.Done():
		}
	}()
	outcome := work(ctx, log)
	p.report(log, outcome)
	return outcome.ExitCode()
}

func (p process) report(log *slog.Logger, outcome Outcome) {
	attributes := []any{"exitCode", outcome.ExitCode(), "seconds", time.Since(p.started).Round(time.Millisecond).Seconds()}
	if outcome.Kind == Done {
		if len(outcome.Result) > 0 {
			attributes = append(attributes, "result", outcome.Result)
		}
		log.Info("succeeded", attributes...)
	} else {
		log.Error("failed", append(attributes, "error", outcome.Error)...)
	}
	if err := p.writeMessage(outcome); err != nil {
		log.Warn("could not write the termination message", "error", err.Error())
	}
}

// writeMessage writes the termination message to the file that Kubernetes creates for
// it. If there is none, this is not a pod and nobody would read the message.
func (p process) writeMessage(outcome Outcome) error {
	encoded, err := outcome.Message().Encode()
	if err != nil {
		return err
	}
	path := p.getenv(contract.EnvMessagePath)
	if path == "" {
		path = contract.TerminationMessagePath
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = file.Write(encoded)
	return errors.Join(err, file.Close())
}
