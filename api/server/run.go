package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"

	"github.com/openradius/workspace-jobs/api/auth"
)

// run serves until ctx ends or a part of the server fails.
func run(ctx context.Context, opts options, log *slog.Logger) error {
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("find the cluster's configuration: %w", err)
	}
	workspaces, err := auth.NewInformer(config)
	if err != nil {
		return err
	}
	sessions, err := openSessions(opts)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	authenticator := auth.New(config, workspaces, auth.WithFailures(opts.limits.failures, opts.limits.signIns))
	streams := auth.NewStreams(opts.limits.streamsEach, opts.limits.streams)
	handler := overTLS(opts.plain, opened(sessions, guarded(measured(registry, routes(authenticator, sessions, streams, log)), opts.limits, tokenOf(sessions), log)))
	s := newServer(ctx, opts, handler, log)
	s.group.Go(func() error { return workspaces.Run(s.ctx) })
	s.group.Go(func() error { s.ready.Store(workspaces.Ready(s.ctx)); return nil })
	err = s.serveSides(opts, registry)
	if err == nil {
		_, err = s.serve(opts)
	}
	if err != nil {
		return err
	}
	return s.group.Wait()
}

func openSessions(opts options) (*auth.Sessions, error) {
	var key []byte
	if opts.sessionKeyFile != "" {
		var err error
		if key, err = os.ReadFile(opts.sessionKeyFile); err != nil {
			return nil, fmt.Errorf("read the session key: %w", err)
		}
	}
	var others [][]byte
	if opts.secondSessionKeyFile != "" {
		second, err := os.ReadFile(opts.secondSessionKeyFile)
		if err == nil {
			others = append(others, second)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read the second session key: %w", err)
		}
	}
	sessions, err := auth.NewSessions(key, others...)
	if err != nil {
		return nil, fmt.Errorf("--session-key-file or --second-session-key-file: %w", err)
	}
	sessions.Proxied = opts.plain
	return sessions, nil
}

// server is the running process.
type server struct {
	// ctx ends when the server is to stop, or a part of it has failed.
	ctx     context.Context
	group   *errgroup.Group
	log     *slog.Logger
	grace   time.Duration
	handler http.Handler
	ready   atomic.Bool
}

func newServer(ctx context.Context, opts options, handler http.Handler, log *slog.Logger) *server {
	group, ctx := errgroup.WithContext(ctx)
	return &server{ctx: ctx, group: group, log: log, grace: opts.grace, handler: handler}
}

// serve serves the REST API and the dashboard. It returns their address.
func (s *server) serve(opts options) (net.Addr, error) {
	listener, err := (&net.ListenConfig{}).Listen(s.ctx, "tcp", opts.address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", opts.address, err)
	}
	scheme := "http"
	if opts.tls() {
		scheme = "https"
		certificate, err := certwatcher.New(opts.certFile, opts.keyFile)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("read the TLS certificate: %w", err), listener.Close())
		}
		s.group.Go(func() error { return certificate.Start(s.ctx) })
		listener = tls.NewListener(listener, &tls.Config{
			MinVersion: tls.VersionTLS12, GetCertificate: certificate.GetCertificate, NextProtos: []string{"h2", "http/1.1"},
		})
	}
	s.log.Info("REST and dashboard", "url", scheme+"://"+listener.Addr().String()+"/hangfire")
	s.serveOn(listener, s.handler)
	return listener.Addr(), nil
}

// serveSides serves the metrics and the probes.
func (s *server) serveSides(opts options, registry *prometheus.Registry) error {
	health := http.NewServeMux()
	health.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	health.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !s.ready.Load() || s.ctx.Err() != nil {
			http.Error(w, "the Workspaces have not been read yet, or the server is stopping", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	metrics := http.NewServeMux()
	metrics.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	for address, handler := range map[string]http.Handler{opts.probeAddress: health, opts.metricsAddress: metrics} {
		if address == "0" {
			continue
		}
		listener, err := (&net.ListenConfig{}).Listen(s.ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("listen on %s: %w", address, err)
		}
		s.serveOn(listener, handler)
	}
	return nil
}

// serveOn serves on a listener until the server stops. Requests may then finish within the
// grace period, at the end of which streams are cut.
func (s *server) serveOn(listener net.Listener, handler http.Handler) {
	requests, cut := context.WithCancel(context.WithoutCancel(s.ctx))
	serving := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headerLimit,
		BaseContext: func(net.Listener) context.Context { return requests },
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	s.group.Go(func() error {
		if err := serving.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	s.group.Go(func() error {
		<-s.ctx.Done()
		timer := time.AfterFunc(s.grace, cut)
		defer timer.Stop()
		defer cut()
		// Streams that are cut need a moment to end.
		limit, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), s.grace+time.Second)
		defer cancel()
		if err := serving.Shutdown(limit); err != nil {
			return serving.Close()
		}
		return nil
	})
}

// measured counts requests and how long they take.
func measured(registry *prometheus.Registry, next http.Handler) http.Handler {
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "workspace_jobs_server_request_seconds", Help: "How long requests took, by method and status code.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60},
	}, []string{"method", "code"})
	running := prometheus.NewGauge(prometheus.GaugeOpts{Name: "workspace_jobs_server_requests", Help: "Requests that are being served, including streams."})
	registry.MustRegister(durations, running)
	return promhttp.InstrumentHandlerInFlight(running, promhttp.InstrumentHandlerDuration(durations, next))
}
