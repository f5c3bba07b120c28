//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/openradius/workspace-jobs/runner"
)

// patience is how long a connection may take. Without it, a target that drops packets would
// never answer.
const patience = 5 * time.Second

type reachArgs struct {
	// Targets are the targets, by their names in the result.
	Targets map[string]target `json:"targets"`
}

// target is a target for one HTTP request, for a connection only, or for a lookup.
type target struct {
	URL     string `json:"url,omitempty"`
	Post    bool   `json:"post,omitempty"`
	Address string `json:"address,omitempty"`
	// Name is a name to look up.
	Name string `json:"name,omitempty"`
	// Find is a word to search for in the answer.
	Find string `json:"find,omitempty"`
}

// reach tries all targets at once.
func reach(ctx context.Context, job *runner.Job[reachArgs]) error {
	var mutex sync.Mutex
	var all sync.WaitGroup
	seen := map[string]string{}
	for name, t := range job.Args.Targets {
		all.Go(func() {
			answer := t.try(ctx)
			mutex.Lock()
			defer mutex.Unlock()
			seen[name] = answer
		})
	}
	all.Wait()
	return job.SetResult(seen)
}

func (t target) try(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if t.URL != "" {
		return t.request(ctx)
	}
	if t.Name != "" {
		if _, err := net.DefaultResolver.LookupHost(ctx, t.Name); err != nil {
			return trouble(err)
		}
		return "resolved"
	}
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", t.Address)
	if err != nil {
		return trouble(err)
	}
	if err := connection.Close(); err != nil {
		return trouble(err)
	}
	return "connected"
}

func (t target) request(ctx context.Context) string {
	method := http.MethodGet
	if t.Post {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(ctx, method, t.URL, http.NoBody)
	if err != nil {
		return err.Error()
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // an intruder does not verify certificates
	answer, err := client.Do(request)
	if err != nil {
		return trouble(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 4<<20))
	if err != nil {
		return trouble(err)
	}
	text := fmt.Sprintf("HTTP %d", answer.StatusCode)
	if t.Find != "" && bytes.Contains(body, []byte(t.Find)) {
		text += " with " + t.Find
	}
	return text
}

// trouble returns a word for why a connection failed.
func trouble(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "unreachable"
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer"
	default:
		return err.Error()
	}
}
