package testenv

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// stopLimit is how long a control plane may take to stop.
const stopLimit = time.Minute

// plane is the process of `cluster run`. It ends at the end of its input, so also
// when the test binary is killed.
type plane struct {
	kubeconfig string
	etcd       string
	// stopNode stops the node that is played on it, if there is one.
	stopNode func()
	input    io.Closer
	// ended holds how the process ended, once it has.
	ended chan error
}

func startPlane(ctx context.Context, tool string, options Options) (*plane, error) {
	args := []string{"run", "--control-plane"}
	if options.ControllerManager || options.Node {
		args = append(args, "--controller-manager")
	}
	command := exec.Command(tool, args...)
	var said bytes.Buffer
	command.Stderr = &said
	input, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	p := &plane{input: input, ended: make(chan error, 1), stopNode: func() {}}
	announced := make(chan string, 1)
	go func() {
		p.readOutput(output, announced)
		err := command.Wait()
		if err != nil {
			err = fmt.Errorf("%s: %w\n%s", command, err, said.String())
		}
		p.ended <- err
	}()
	select {
	case p.kubeconfig = <-announced:
		return p, nil
	case err := <-p.ended:
		return nil, fmt.Errorf("it ended before it was ready: %w", err)
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), p.stop())
	}
}

// readOutput reads to the end: Wait must not be called before.
func (p *plane) readOutput(output io.Reader, announced chan<- string) {
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "ETCD="); ok {
			p.etcd = url // its line precedes the one that is waited for
		}
		if path, ok := strings.CutPrefix(lines.Text(), "KUBECONFIG="); ok {
			select {
			case announced <- path:
			default:
			}
		}
	}
}

// stop waits until the process has ended. A process that never started needs no stop.
func (p *plane) stop() error {
	if p == nil {
		return nil
	}
	p.stopNode()
	// A process that has ended by itself has closed it; its error is returned below.
	if err := p.input.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	select {
	case err := <-p.ended:
		return err
	case <-time.After(stopLimit):
		return fmt.Errorf("it has not ended within %s", stopLimit)
	}
}
