package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// images builds the project's own images.
var images = sync.OnceValues(func() (string, error) {
	if folder := os.Getenv("IMAGES"); folder != "" {
		return folder, nil
	}
	output, err := exec.Command("make", "--no-print-directory", "-C", "../../..", "images").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("make images: %w\n%s", err, output)
	}
	return "../../../dist", err
})

// built returns the folder of the project's own images: IMAGES in the environment, or
// dist/, into which they are built first.
func built(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("-short leaves it out: it needs the project's images, which take a while to build")
	}
	folder, err := images()
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// TestTheImagesHoldNothingElse checks that an image has the binary and the CA roots alone: no
// shell, no package manager, nothing that gives rights, and nothing to write to.
func TestTheImagesHoldNothingElse(t *testing.T) {
	for _, image := range []string{"manager", "runner", "server"} {
		t.Run(image, func(t *testing.T) {
			config, err := imageOf(t, filepath.Join(built(t), image+".tar")).ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			c := config.Config
			if c.User != "65532:65532" || !slices.Equal(c.Entrypoint, []string{"/" + image}) || len(c.Cmd)+len(c.Env)+len(c.Volumes)+len(c.ExposedPorts) > 0 {
				t.Errorf("it runs as %q, starts %q %q, with the environment %q, volumes %v and ports %v", c.User, c.Entrypoint, c.Cmd, c.Env, c.Volumes, c.ExposedPorts)
			}
			want := map[string]int64{"etc/": 0o755, "etc/ssl/": 0o755, "etc/ssl/certs/": 0o755, caRoots: 0o644, image: 0o755}
			for _, header := range entries(t, filepath.Join(built(t), image+".tar")) {
				mode, known := want[header.Name]
				delete(want, header.Name)
				kind := byte(tar.TypeReg)
				if strings.HasSuffix(header.Name, "/") {
					kind = tar.TypeDir
				}
				// The mode with its setuid, setgid and sticky bits.
				if !known || header.Typeflag != kind || header.Mode != mode || header.Uid != 0 || header.Gid != 0 || len(header.PAXRecords) > 0 {
					t.Errorf("it holds %q of type %q, mode %o, owner %d:%d, attributes %v", header.Name, header.Typeflag, header.Mode, header.Uid, header.Gid, header.PAXRecords)
				}
			}
			if len(want) > 0 {
				t.Errorf("it lacks %v", want)
			}
		})
	}
}

// entries returns the files of all of an image's layers.
func entries(t *testing.T, archive string) []*tar.Header {
	t.Helper()
	layers, err := imageOf(t, archive).Layers()
	if err != nil {
		t.Fatal(err)
	}
	var headers []*tar.Header
	for _, layer := range layers {
		content, err := layer.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		eachEntry(t, content, func(header *tar.Header, _ io.Reader) { headers = append(headers, header) })
	}
	return headers
}

// manifestOf returns the digest by which a registry knows the image of an archive.
func manifestOf(t *testing.T, archive string) v1.Hash {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var index v1.IndexManifest
	eachEntry(t, file, func(header *tar.Header, content io.Reader) {
		if header.Name == "index.json" {
			if err := json.NewDecoder(content).Decode(&index); err != nil {
				t.Fatal(err)
			}
		}
	})
	if len(index.Manifests) != 1 {
		t.Fatalf("%d images in %s", len(index.Manifests), archive)
	}
	return index.Manifests[0].Digest
}

func eachEntry(t *testing.T, archive io.Reader, do func(*tar.Header, io.Reader)) {
	t.Helper()
	for reader := tar.NewReader(archive); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		do(header, reader)
	}
}

func TestTheImagesSBOMs(t *testing.T) {
	for _, image := range []string{"manager", "runner", "server"} {
		t.Run(image, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(built(t), image+".cdx.json"))
			if err != nil {
				t.Fatal(err)
			}
			checkSBOM(t, text, filepath.Join(built(t), "bin", image))
			digest := manifestOf(t, filepath.Join(built(t), image+".tar"))
			if purl := readSBOM(t, text).Metadata.Component.PackageURL; !strings.Contains(purl, digest.Hex) {
				t.Errorf("it is of %s, but the image is %s", purl, digest)
			}
		})
	}
}
