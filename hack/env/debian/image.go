package debian

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// WriteImage makes the image that a folder's Dockerfile describes, without a container
// engine: its packages are this machine's, installed first if they are missing. It is for
// tests, and holds less than the real image: of Debian no more than the packages need. The
// archive is one that docker save could have written.
//
// The images that the project publishes are made by hack/env/image: one static binary each,
// and an SBOM that names all its parts. An SBOM could not say what Debian's files are made of.
func WriteImage(ctx context.Context, folder, tag, archive string) error {
	r, err := readDockerfile(folder)
	if err != nil {
		return err
	}
	paths, err := files(ctx, r.packages)
	if err != nil {
		if err := Install(ctx, r.packages[0], r.packages[1:]...); err != nil {
			return err
		}
		if paths, err = files(ctx, r.packages); err != nil {
			return err
		}
	}
	layer, err := r.layer(paths)
	if err != nil {
		return err
	}
	return r.write(tag, archive, layer)
}

// write writes the image that has this layer.
func (r recipe) write(tag, archive string, layer []byte) error {
	parsed, err := name.NewTag(tag)
	if err != nil {
		return err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer)), nil }
	files, err := tarball.LayerFromOpener(open, tarball.WithCompressionLevel(gzip.NoCompression))
	if err != nil {
		return err
	}
	base, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: "linux", Architecture: runtime.GOARCH, RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{User: r.user, Entrypoint: r.entrypoint, Env: slices.Concat([]string{"PATH=/usr/local/bin:/usr/bin:/bin"}, r.env)},
	})
	if err != nil {
		return err
	}
	image, err := mutate.AppendLayers(base, files)
	if err != nil {
		return err
	}
	return tarball.WriteToFile(archive, parsed, image)
}

const libraryCache = "/etc/ld.so.cache"

// layer returns the image's one layer: the packages' files, and those that are copied.
func (r recipe) layer(paths []string) ([]byte, error) {
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	// The cache is made when libc-bin is installed. It names other libraries too, which
	// does no harm.
	for _, path := range append(paths, libraryCache) {
		// A package's file may be missing: this machine may leave out documentation.
		if err := addFile(writer, path, path); err != nil && !os.IsNotExist(err) {
			return nil, err
		}
	}
	for target, source := range r.copies {
		if err := addFile(writer, target, source); err != nil {
			return nil, err
		}
	}
	err := writer.Close()
	return buffer.Bytes(), err
}

// addFile adds a file of this machine, as owned by root. It leaves out devices and the like.
func addFile(writer *tar.Writer, target, source string) error {
	info, err := os.Lstat(source)
	if err != nil {
		return err
	}
	var link string
	switch info.Mode().Type() {
	case 0, os.ModeDir:
	case os.ModeSymlink:
		if link, err = os.Readlink(source); err != nil {
			return err
		}
	default:
		return nil
	}
	header, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	header.Name = strings.TrimPrefix(target, "/")
	if info.IsDir() {
		header.Name += "/"
	}
	header.Uid, header.Gid, header.Uname, header.Gname = 0, 0, "", ""
	if err := writer.WriteHeader(header); err != nil || !info.Mode().IsRegular() {
		return err
	}
	file, err := os.Open(source)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.Copy(writer, file); err != nil {
		return fmt.Errorf("%s: %w", source, err)
	}
	return nil
}
