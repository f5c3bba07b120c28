package debian

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// recipe is the content of a Dockerfile.
type recipe struct {
	packages []string
	// copies are files of the Dockerfile's folder, by their path in the image.
	copies     map[string]string
	env        []string
	user       string
	entrypoint []string
}

// base are the packages of debian:12-slim that are needed for folders and for finding libraries.
var base = []string{"base-files", "libc-bin"}

// readDockerfile understands what docs/examples/runner-python has: a Debian image, packages,
// files, and how to start. Anything else is an error.
func readDockerfile(folder string) (recipe, error) {
	text, err := os.ReadFile(filepath.Join(folder, "Dockerfile"))
	if err != nil {
		return recipe{}, err
	}
	r := recipe{copies: map[string]string{}}
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", " ")) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := r.add(folder, line); err != nil {
			return recipe{}, fmt.Errorf("%s: %s: %w", folder, line, err)
		}
	}
	if len(r.entrypoint) == 0 {
		return recipe{}, fmt.Errorf("%s: its Dockerfile has no ENTRYPOINT", folder)
	}
	return r, nil
}

func (r *recipe) add(folder, line string) error {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "FROM":
		if !strings.HasPrefix(rest, "debian:") {
			return errors.New("only Debian images are supported here")
		}
		r.packages = append(r.packages, base...)
		return nil
	case "RUN":
		return r.install(rest)
	case "COPY":
		fields := strings.Fields(rest)
		target := fields[len(fields)-1]
		for _, name := range fields[:len(fields)-1] {
			r.copies[filepath.Join(target, name)] = filepath.Join(folder, name)
		}
		return nil
	case "ENV":
		r.env = append(r.env, rest)
		return nil
	case "USER":
		r.user = rest
		return nil
	case "ENTRYPOINT":
		return json.Unmarshal([]byte(rest), &r.entrypoint)
	}
	return fmt.Errorf("%s is not supported here", word)
}

// install adds the packages of an apt-get install.
func (r *recipe) install(commands string) error {
	for command := range strings.SplitSeq(commands, "&&") {
		fields := strings.Fields(command)
		if len(fields) < 3 || fields[0] != "apt-get" || fields[1] != "install" {
			continue
		}
		r.packages = append(r.packages, slices.DeleteFunc(fields[2:], func(field string) bool { return strings.HasPrefix(field, "-") })...)
		return nil
	}
	return errors.New("only apt-get install is supported here")
}
