package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// writeArchive writes an OCI image layout as a tar, and adds the manifest.json that docker
// load reads, as docker save does. The blobs keep their digests in either.
func writeArchive(path string, tag name.Tag, image v1.Image) error {
	folder, err := os.MkdirTemp("", "workspace-jobs-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	files, err := layout.Write(folder, empty.Index)
	if err != nil {
		return err
	}
	err = files.AppendImage(image, layout.WithAnnotations(map[string]string{
		"io.containerd.image.name":          tag.Name(),
		"org.opencontainers.image.ref.name": tag.TagStr(),
	}))
	if err != nil {
		return err
	}
	manifest, err := dockerManifest(tag, image)
	if err != nil {
		return err
	}
	if err := files.WriteFile("manifest.json", manifest, 0o644); err != nil {
		return err
	}
	return pack(os.DirFS(folder), path)
}

// dockerManifest is the manifest.json of a docker archive.
func dockerManifest(tag name.Tag, image v1.Image) ([]byte, error) {
	manifest, err := image.Manifest()
	if err != nil {
		return nil, err
	}
	blob := func(digest v1.Hash) string { return "blobs/" + digest.Algorithm + "/" + digest.Hex }
	entry := struct {
		Config           string
		RepoTags, Layers []string
	}{Config: blob(manifest.Config.Digest), RepoTags: []string{tag.String()}}
	for _, layer := range manifest.Layers {
		entry.Layers = append(entry.Layers, blob(layer.Digest))
	}
	return json.Marshal([]any{entry})
}

// pack writes files as a tar. The same files make the same bytes: their owners and times are left out.
func pack(files fs.FS, path string) error {
	archive, err := os.Create(path)
	if err != nil {
		return err
	}
	writer := tar.NewWriter(archive)
	err = fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: time.Unix(0, 0)}
		if err := writer.WriteHeader(header); err != nil {
			return err
		}
		_, err = writer.Write(content)
		return err
	})
	return errors.Join(err, writer.Close(), archive.Close())
}
