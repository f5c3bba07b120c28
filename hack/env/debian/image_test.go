package debian

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestTheExamplesDockerfileIsUnderstood(t *testing.T) {
	t.Parallel()
	const folder = "../../../docs/examples/runner-python"
	r, err := readDockerfile(folder)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.packages, []string{"base-files", "libc-bin", "python3", "python3-psycopg", "ca-certificates", "tzdata"}) {
		t.Errorf("packages %q", r.packages)
	}
	if len(r.copies) != 2 || r.copies["/app/runner.py"] != folder+"/runner.py" {
		t.Errorf("files %q", r.copies)
	}
	if r.user != "65532:65532" || !slices.Equal(r.entrypoint, []string{"/usr/bin/python3", "/app/runner.py"}) || !slices.Equal(r.env, []string{"PYTHONDONTWRITEBYTECODE=1"}) {
		t.Errorf("user %q, entrypoint %q, environment %q", r.user, r.entrypoint, r.env)
	}
}

func TestWhatIsNotUnderstoodIsAnError(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"FROM scratch\nENTRYPOINT [\"/a\"]\n", "FROM debian:12\n", "FROM debian:12\nRUN make\nENTRYPOINT [\"/a\"]\n",
		"FROM debian:12\nENTRYPOINT /a\n", "FROM debian:12\nADD a /\nENTRYPOINT [\"/a\"]\n",
	} {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "Dockerfile"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := readDockerfile(folder); err == nil {
			t.Errorf("%q is understood as %+v", text, r)
		}
	}
}

func TestImageHasTheFilesAndHowToStart(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	program, archive := filepath.Join(folder, "program"), filepath.Join(folder, "image.tar")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	r := recipe{copies: map[string]string{"/app/program": program}, user: "65532:65532", entrypoint: []string{"/app/program"}, env: []string{"A=b"}}
	layer, err := r.layer([]string{"/etc", "/bin/sh", "/no/such/file"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.write("localhost/test:dev", archive, layer); err != nil {
		t.Fatal(err)
	}
	image, err := tarball.ImageFromPath(archive, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	got := config.Config
	if got.User != r.user || !slices.Equal(got.Entrypoint, r.entrypoint) || !slices.Contains(got.Env, "A=b") {
		t.Errorf("%+v", got)
	}
	var modes []string
	for contents := tar.NewReader(mutate.Extract(image)); ; {
		header, err := contents.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		modes = append(modes, header.FileInfo().Mode().String()+" "+header.Name)
	}
	for _, want := range []string{"drwxr-xr-x etc", "Lrwxrwxrwx bin/sh", "-rwxr-xr-x app/program"} {
		if !slices.Contains(modes, want) {
			t.Errorf("%q is not in %q", want, modes)
		}
	}
}

func TestNamesOfDependencies(t *testing.T) {
	t.Parallel()
	got := strings.Join(names("python3-minimal (= 3.11.2-1+b1), python3:any,, media-types | mime-support (>= 3)"), " ")
	if want := "python3-minimal python3 media-types mime-support"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
