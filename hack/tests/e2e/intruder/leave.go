//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/openradius/workspace-jobs/runner"
	"github.com/openradius/workspace-jobs/runner/contract"
)

type listenArgs struct {
	Port int `json:"port"`
}

// listen accepts connections until ctx ends.
func listen(ctx context.Context, job *runner.Job[listenArgs]) error {
	server := &http.Server{
		Addr:              fmt.Sprintf(":%d", job.Args.Port),
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "come in") }),
		ReadHeaderTimeout: time.Minute,
	}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	job.Logger.Info("listening", "port", job.Args.Port)
	return server.ListenAndServe()
}

type leaveArgs struct {
	// Line is the length of a line that is written to the standard output, followed by Log
	// as it is. Message is written to the termination message. The process exits with Exit.
	Line    int    `json:"line"`
	Log     []byte `json:"log"`
	Message []byte `json:"message"`
	// Times is how often the message is written.
	Times int `json:"times"`
	Exit  int `json:"exit"`
}

// leave bypasses the library, since an image need not use it.
func leave(_ context.Context, job *runner.Job[leaveArgs]) error {
	log := append(bytes.Repeat([]byte("A"), job.Args.Line), job.Args.Log...)
	if _, err := os.Stdout.Write(log); err != nil {
		return err
	}
	file, err := os.OpenFile(contract.TerminationMessagePath, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	for range max(job.Args.Times, 1) {
		if _, err := file.Write(job.Args.Message); err != nil {
			return err
		}
	}
	if err := file.Close(); err != nil {
		return err
	}
	os.Exit(job.Args.Exit)
	return nil
}
