// Command image makes a container image that holds one static binary and CA roots, and
// nothing else, without a container engine.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

const usage = `Makes a container image of one static binary and CA roots. The same input gives the same digest.

  image --binary PATH --name NAME:TAG [--entrypoint /PATH] [--version VERSION]
        [--output FILE.tar] [--sbom FILE.cdx.json] [--push]

  --binary      a static Linux binary, such as CGO_ENABLED=0 go build makes; it has no time zones
                to read in the image, so build it with -tags timetzdata if it wants any
  --name        the image's name and tag, e.g. localhost/workspace-jobs/manager:dev
  --entrypoint  where the binary is in the image, and what is started; default: / and the binary's name
  --version     the image's version in its labels; default: the tag
  --output      the archive to write: an OCI layout that docker, podman and containerd load
  --sbom        where to write the SBOM, as CycloneDX JSON
  --push        send it to its registry, with the credentials of docker's or podman's login,
                and the SBOM with it, as an artifact that refers to the image

The image runs as user and group 65532. Its creation time is SOURCE_DATE_EPOCH, or 1970.
Prints the image's name with its digest, and its size in bytes.
`

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "image: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	binary := flags.String("binary", "", "")
	fullName := flags.String("name", "", "")
	entrypoint := flags.String("entrypoint", "", "")
	version := flags.String("version", "", "")
	output := flags.String("output", "", "")
	sbom := flags.String("sbom", "", "")
	push := flags.Bool("push", false, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *binary == "" || *fullName == "" || flags.NArg() > 0 || (*output == "" && !*push) {
		return errors.New("--binary, --name and one of --output and --push are needed, and nothing else: see --help")
	}
	tag, err := name.NewTag(*fullName)
	if err != nil {
		return fmt.Errorf("--name: %w", err)
	}
	created, err := creationTime()
	if err != nil {
		return err
	}
	spec := spec{
		tag: tag, created: created,
		entrypoint: cmp.Or(*entrypoint, "/"+filepath.Base(*binary)), version: cmp.Or(*version, tag.TagStr()),
	}
	if !path.IsAbs(spec.entrypoint) || path.Clean(spec.entrypoint) != spec.entrypoint {
		return fmt.Errorf("--entrypoint %q: it has to be a clean absolute path", spec.entrypoint)
	}
	if spec.content, err = os.ReadFile(*binary); err != nil {
		return err
	}
	image, err := makeImage(spec)
	if err != nil {
		return fmt.Errorf("%s: %w", *binary, err)
	}
	list, err := makeSBOM(spec, image)
	if err != nil {
		return fmt.Errorf("%s: %w", *binary, err)
	}
	if *sbom != "" {
		if err := os.WriteFile(*sbom, list, 0o644); err != nil {
			return err
		}
	}
	return deliver(tag, image, list, *output, *push)
}

func deliver(tag name.Tag, image v1.Image, sbom []byte, output string, push bool) error {
	if output != "" {
		if err := writeArchive(output, tag, image); err != nil {
			return err
		}
	}
	if push {
		if err := send(tag, image, sbom); err != nil {
			return err
		}
	}
	return report(tag, image)
}

// send pushes the image, and the SBOM as an artifact that refers to it.
func send(tag name.Tag, image v1.Image, sbom []byte) error {
	login := remote.WithAuthFromKeychain(authn.DefaultKeychain)
	if err := remote.Write(tag, image, login); err != nil {
		return err
	}
	referrer, err := referrerOf(image, sbom)
	if err != nil {
		return err
	}
	digest, err := referrer.Digest()
	if err != nil {
		return err
	}
	return remote.Write(tag.Context().Digest(digest.String()), referrer, login)
}

func report(tag name.Tag, image v1.Image) error {
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	size, err := imageSize(image)
	if err != nil {
		return err
	}
	fmt.Printf("%s@%s %d\n", tag, digest, size)
	return nil
}

// creationTime returns the time that reproducible builds use (reproducible-builds.org/specs/source-date-epoch).
func creationTime() (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH %q is not a number of seconds", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// imageSize returns how many bytes a registry stores: the compressed layers and the two documents.
func imageSize(image v1.Image) (int64, error) {
	total, err := image.Size()
	if err != nil {
		return 0, err
	}
	manifest, err := image.Manifest()
	if err != nil {
		return 0, err
	}
	total += manifest.Config.Size
	for _, layer := range manifest.Layers {
		total += layer.Size
	}
	return total, nil
}
