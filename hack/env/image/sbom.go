package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"net/url"
	"path"
	"runtime/debug"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	// sbomType is CycloneDX's media type.
	sbomType = "application/vnd.cyclonedx+json"
	// goSum is the property that holds a module's checksum, as in go.sum. It is not the
	// hash of a file, so it is not among a component's hashes.
	goSum = "go:sum"
)

// makeSBOM lists what is in an image, as CycloneDX JSON: the modules that Go recorded in the
// binary, and the CA roots. It has no time and no serial number, so the same image has the
// same SBOM.
func makeSBOM(s spec, image v1.Image) ([]byte, error) {
	info, err := buildinfo.Read(bytes.NewReader(s.content))
	if err != nil {
		return nil, fmt.Errorf("read what the binary is built of: %w", err)
	}
	digest, err := image.Digest()
	if err != nil {
		return nil, err
	}
	container, program, roots := containerOf(s, digest), programOf(s, info), rootsComponent()
	components := []cdx.Component{program, roots}
	var built []string
	for _, library := range librariesOf(info) {
		components = append(components, library)
		built = append(built, library.BOMRef)
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{
		Lifecycles: &[]cdx.Lifecycle{{Phase: cdx.LifecyclePhaseBuild}},
		Component:  &container,
	}
	bom.Components = &components
	bom.Dependencies = &[]cdx.Dependency{
		{Ref: container.BOMRef, Dependencies: &[]string{program.BOMRef, roots.BOMRef}},
		{Ref: program.BOMRef, Dependencies: &built},
	}
	var text bytes.Buffer
	encoder := cdx.NewBOMEncoder(&text, cdx.BOMFileFormatJSON)
	encoder.SetPretty(true).SetEscapeHTML(false)
	// Not the newest, so that all tools read it.
	err = encoder.EncodeVersion(bom, cdx.SpecVersion1_6)
	return text.Bytes(), err
}

func containerOf(s spec, digest v1.Hash) cdx.Component {
	title := path.Base(s.tag.RepositoryStr())
	query := url.Values{"repository_url": {s.tag.RegistryStr() + "/" + s.tag.RepositoryStr()}, "tag": {s.tag.TagStr()}}
	purl := fmt.Sprintf("pkg:oci/%s@%s?%s", title, url.QueryEscape(digest.String()), query.Encode())
	return cdx.Component{
		BOMRef: purl, PackageURL: purl, Type: cdx.ComponentTypeContainer, Name: title, Version: s.version,
	}
}

// programOf returns the component of the image's binary.
func programOf(s spec, info *debug.BuildInfo) cdx.Component {
	file := strings.TrimPrefix(s.entrypoint, "/")
	return cdx.Component{
		BOMRef: "file:" + file, Type: cdx.ComponentTypeApplication, Name: info.Path, Version: s.version,
		Hashes:   hashOf(s.content),
		Licenses: &cdx.Licenses{{License: &cdx.License{ID: license}}},
		Evidence: &cdx.Evidence{Occurrences: &[]cdx.EvidenceOccurrence{{Location: s.entrypoint}}},
	}
}

func rootsComponent() cdx.Component {
	return cdx.Component{
		BOMRef: "file:" + caRoots, Type: cdx.ComponentTypeFile, Name: caRoots, Hashes: hashOf(rootsPEM()),
		Description: "the CA roots that Mozilla trusts, from the Go module golang.org/x/crypto/x509roots/fallback",
		Evidence:    &cdx.Evidence{Occurrences: &[]cdx.EvidenceOccurrence{{Location: "/" + caRoots}}},
	}
}

// librariesOf returns Go's standard library, by the name under which its vulnerabilities
// are listed, and the modules whose packages are in the binary.
func librariesOf(info *debug.BuildInfo) []cdx.Component {
	libraries := []cdx.Component{library("stdlib", strings.TrimPrefix(info.GoVersion, "go"), "")}
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		libraries = append(libraries, library(module.Path, module.Version, module.Sum))
	}
	return libraries
}

func library(name, version, sum string) cdx.Component {
	purl := "pkg:golang/" + name
	if version != "" {
		purl += "@" + strings.ReplaceAll(version, "+", "%2B")
	}
	component := cdx.Component{BOMRef: purl, PackageURL: purl, Type: cdx.ComponentTypeLibrary, Name: name, Version: version}
	if sum != "" {
		component.Properties = &[]cdx.Property{{Name: goSum, Value: sum}}
	}
	return component
}

func hashOf(content []byte) *[]cdx.Hash {
	sum := sha256.Sum256(content)
	return &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}}
}

// referrerOf makes the SBOM an OCI artifact that refers to the image: registries list it
// with the image, and its type is that of its configuration.
func referrerOf(image v1.Image, sbom []byte) (v1.Image, error) {
	subject, err := partial.Descriptor(image)
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), sbomType)
	artifact, err := mutate.Append(base, mutate.Addendum{Layer: static.NewLayer(sbom, sbomType)})
	if err != nil {
		return nil, err
	}
	referrer, ok := mutate.Subject(artifact, *subject).(v1.Image)
	if !ok {
		return nil, fmt.Errorf("an artifact with a subject is a %T", referrer)
	}
	return referrer, nil
}
