package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// readSBOM refuses fields that CycloneDX does not have.
func readSBOM(t *testing.T, text []byte) *cdx.BOM {
	t.Helper()
	bom := &cdx.BOM{}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(bom); err != nil {
		t.Fatal(err)
	}
	if bom.BOMFormat != cdx.BOMFormat || bom.SpecVersion != cdx.SpecVersion1_6 || bom.SerialNumber != "" || bom.Metadata.Timestamp != "" {
		t.Errorf("format %q %s, serial number %q, time %q", bom.BOMFormat, bom.SpecVersion, bom.SerialNumber, bom.Metadata.Timestamp)
	}
	return bom
}

// checkSBOM compares an SBOM with what `go version` prints of the binary.
func checkSBOM(t *testing.T, text []byte, binary string) {
	t.Helper()
	bom := readSBOM(t, text)
	libraries, sums, hashes, known := map[string]string{}, map[string]string{}, map[string]string{}, map[string]bool{}
	for _, c := range append(*bom.Components, *bom.Metadata.Component) {
		if c.BOMRef == "" || known[c.BOMRef] {
			t.Errorf("%s has the reference %q", c.Name, c.BOMRef)
		}
		known[c.BOMRef] = true
		if c.Hashes != nil {
			hashes[c.Name] = (*c.Hashes)[0].Value
		}
		if c.Type != cdx.ComponentTypeLibrary {
			continue
		}
		libraries[c.Name] = c.Version
		if c.Properties != nil {
			sums[c.Name] = (*c.Properties)[0].Value
		}
		if want := "pkg:golang/" + c.Name + "@" + strings.ReplaceAll(c.Version, "+", "%2B"); c.PackageURL != want {
			t.Errorf("purl %q, want %q", c.PackageURL, want)
		}
	}
	for _, dependency := range *bom.Dependencies {
		for _, ref := range append(*dependency.Dependencies, dependency.Ref) {
			if !known[ref] {
				t.Errorf("a dependency %q of no component", ref)
			}
		}
	}
	program := checkLibraries(t, binary, libraries, sums)
	content, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(content); hashes[program] != hex.EncodeToString(sum[:]) {
		t.Errorf("%s has the hash %q", program, hashes[program])
	}
	if hashes[caRoots] == "" {
		t.Error("the CA roots are missing")
	}
}

// checkLibraries returns the main package's path.
func checkLibraries(t *testing.T, binary string, libraries, sums map[string]string) (program string) {
	t.Helper()
	output, err := exec.Command("go", "version", "-m", binary).Output()
	if err != nil {
		t.Fatal(err)
	}
	first, rest, _ := strings.Cut(string(output), "\n")
	if want := "go" + libraries["stdlib"]; !strings.HasSuffix(first, ": "+want) {
		t.Errorf("the standard library is that of %s, want %s", want, first)
	}
	count := 1
	for line := range strings.Lines(rest) {
		words := strings.Fields(line)
		switch words[0] {
		case "path":
			program = words[1]
		case "dep":
			count++
			if libraries[words[1]] != words[2] || sums[words[1]] != words[3] {
				t.Errorf("%s is %q with the sum %q, want %s", words[1], libraries[words[1]], sums[words[1]], line)
			}
		case "=>":
			t.Fatalf("this test does not know replaced modules: %s", line)
		}
	}
	if len(libraries) != count {
		t.Errorf("%d libraries, want %d: %v", len(libraries), count, libraries)
	}
	return program
}

func sbomOf(t *testing.T, binary string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.cdx.json")
	if err := run([]string{"--binary", binary, "--name", "registry.example.net:5000/a/manager:v1", "--output", os.DevNull, "--sbom", path}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSBOMOfTwoBuildsIsTheSame(t *testing.T) {
	text := sbomOf(t, staticBinary(t))
	if !bytes.Equal(text, sbomOf(t, staticBinary(t))) {
		t.Error("the SBOMs of two builds differ")
	}
	image := readSBOM(t, text).Metadata.Component
	purl := image.PackageURL
	if !strings.HasPrefix(purl, "pkg:oci/manager@sha256%3A") || !strings.HasSuffix(purl, "?repository_url=registry.example.net%3A5000%2Fa%2Fmanager&tag=v1") || image.Version != "v1" {
		t.Errorf("%s %s", purl, image.Version)
	}
}

func TestSBOMNeedsBuildInfo(t *testing.T) {
	_, err := makeSBOM(spec{content: []byte("\x7fELF")}, nil)
	if err == nil || !strings.Contains(err.Error(), "built of") {
		t.Errorf("error %v", err)
	}
}

func TestPushedSBOMRefersToTheImage(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.WithReferrersSupport(true)))
	defer server.Close()
	binary := staticBinary(t)
	tag, err := name.NewTag(strings.TrimPrefix(server.URL, "http://") + "/workspace-jobs/manager:dev")
	if err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"--binary", binary, "--name", tag.String(), "--push"}); err != nil {
		t.Fatal(err)
	}
	image, err := remote.Head(tag)
	if err != nil {
		t.Fatal(err)
	}
	referrers, err := remote.Referrers(tag.Context().Digest(image.Digest.String()))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := referrers.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 || manifest.Manifests[0].ArtifactType != sbomType {
		t.Fatalf("%+v, %v", manifest, err)
	}
	artifact, err := remote.Image(tag.Context().Digest(manifest.Manifests[0].Digest.String()))
	if err != nil {
		t.Fatal(err)
	}
	layers, err := artifact.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	reader, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	checkSBOM(t, text, binary)
}
