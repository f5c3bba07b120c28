// Command server serves the REST API and the dashboard. It calls the Kubernetes API with
// each caller's own token.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/openradius/workspace-jobs/api/auth"
)

// memoryShare is how much of the container's memory limit the Go runtime may use: the limit
// counts more than the runtime knows of.
const memoryShare = 0.8

// version is set at build time.
var version = "dev"

// options are the command's flags.
type options struct {
	address, metricsAddress, probeAddress string
	certFile, keyFile                     string
	plain                                 bool
	sessionKeyFile, secondSessionKeyFile  string
	limits                                limits
	grace                                 time.Duration
	logLevel                              slog.Level
}

func (o options) tls() bool { return o.certFile != "" }

func main() {
	opts, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "server: %v\n", err)
		os.Exit(2)
	}
	handler := slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: opts.logLevel})
	ctrl.SetLogger(logr.FromSlogHandler(handler))
	klog.SetLogger(logr.FromSlogHandler(handler))
	log := slog.New(handler)
	// The garbage collector works harder near the container's limit. Set logs its errors.
	_, _ = memlimit.Set(memlimit.WithRatio(memoryShare), memlimit.WithLogger(log))
	if err := run(ctrl.SetupSignalHandler(), opts, log); err != nil {
		log.Error("the server stops", "error", err.Error())
		os.Exit(1)
	}
}

func parse(args []string, output io.Writer) (options, error) {
	var opts options
	flags := flag.NewFlagSet("server", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.Usage = func() {
		fmt.Fprintf(output, "server %s: the REST API and the dashboard of Workspace Jobs.\n\nIt finds the cluster through KUBECONFIG, or through the pod that it runs in.\n\nFlags:\n", version)
		flags.PrintDefaults()
	}
	flags.StringVar(&opts.address, "bind-address", "127.0.0.1:5000", "address of the REST API and the dashboard; needs TLS unless it is a loopback address")
	flags.StringVar(&opts.metricsAddress, "metrics-bind-address", ":8080", "address of the Prometheus metrics; 0 disables them")
	flags.StringVar(&opts.probeAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz; 0 disables them")
	flags.StringVar(&opts.certFile, "tls-cert-file", "", "file with the TLS certificate, reloaded when it changes")
	flags.StringVar(&opts.keyFile, "tls-private-key-file", "", "file with the certificate's private key")
	flags.BoolVar(&opts.plain, "allow-plain-http", false, "listen without TLS on any address, behind a proxy that terminates TLS; browsers must use https to reach it")
	flags.StringVar(&opts.sessionKeyFile, "session-key-file", "", "file with at least 32 random bytes, the same for all replicas (default: a random key, with which all sessions end when the process does)")
	flags.StringVar(&opts.secondSessionKeyFile, "second-session-key-file", "", "file with another key of at least 32 random bytes, whose sessions are accepted while keys are rotated; there is no such key while there is no such file")
	flags.Int64Var(&opts.limits.body, "max-body-bytes", 1<<20, "largest size of a request's body")
	flags.Float64Var(&opts.limits.rate, "requests-per-second", 50, "requests that each caller may send per second")
	flags.IntVar(&opts.limits.burst, "request-burst", 200, "requests that each caller may send at once")
	flags.IntVar(&opts.limits.streamsEach, "streams-per-caller", auth.StreamsEach, "streams of events or logs that each caller may have open, including open pages of the dashboard")
	flags.IntVar(&opts.limits.streams, "streams", auth.StreamsAll, "streams that all callers may have open, shared between workspaces; one takes about 150 KB of memory")
	flags.IntVar(&opts.limits.failures, "failures-per-minute", auth.FailuresPerMinute, "unknown tokens of each client address (IPv6: of each /64) that the cluster may reject per minute, before unknown tokens from there are refused with 429")
	flags.IntVar(&opts.limits.signIns, "sign-ins-per-minute", auth.SignInsPerMinute, "the same for tokens with which users of each client address try to sign in to the dashboard")
	flags.TextVar(&opts.limits.proxies, "trusted-proxies", proxies(nil), "blocks or addresses of proxies in front of the server, separated by commas, such as 10.0.0.0/8: X-Forwarded-For of their requests says who the client is (default: none; a client is who connects)")
	flags.DurationVar(&opts.limits.write, "request-timeout", time.Minute, "how long a request may take, unless it is a stream")
	flags.DurationVar(&opts.grace, "shutdown-grace", 10*time.Second, "how long requests may continue after SIGTERM")
	flags.TextVar(&opts.logLevel, "log-level", slog.LevelInfo, "DEBUG, INFO, WARN or ERROR")
	if err := flags.Parse(args); err != nil {
		return opts, err
	}
	if flags.NArg() > 0 {
		return opts, fmt.Errorf("unexpected argument %q; see server --help", flags.Arg(0))
	}
	return opts, opts.check()
}

func (o options) check() error {
	if (o.certFile == "") != (o.keyFile == "") {
		return errors.New("--tls-cert-file and --tls-private-key-file must be set together")
	}
	if o.secondSessionKeyFile != "" && o.sessionKeyFile == "" {
		return errors.New("--second-session-key-file needs --session-key-file")
	}
	for flag, fits := range map[string]bool{
		"max-body-bytes": o.limits.body > 0, "requests-per-second": o.limits.rate > 0, "request-burst": o.limits.burst > 0,
		"request-timeout": o.limits.write > 0, "streams-per-caller": o.limits.streamsEach > 0, "streams": o.limits.streams > 0,
		"failures-per-minute": o.limits.failures > 0, "sign-ins-per-minute": o.limits.signIns > 0,
	} {
		if !fits {
			return fmt.Errorf("--%s must be greater than 0", flag)
		}
	}
	if o.grace < 0 {
		return errors.New("--shutdown-grace must not be negative")
	}
	host, _, err := net.SplitHostPort(o.address)
	if err != nil {
		return fmt.Errorf("--bind-address %q is not host:port", o.address)
	}
	if !o.tls() && !o.plain && !loopback(host) {
		return fmt.Errorf("--bind-address %s would send tokens unencrypted: set --tls-cert-file and --tls-private-key-file, listen on 127.0.0.1, or set --allow-plain-http behind a proxy that terminates TLS", o.address)
	}
	return nil
}

func loopback(host string) bool {
	address := net.ParseIP(host)
	return host == "localhost" || address != nil && address.IsLoopback()
}
