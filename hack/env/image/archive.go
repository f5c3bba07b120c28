package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// writeArchive writes an OCI image layout as a tar, with the manifest.json that docker
// load reads beside it, as docker save does. The blobs keep their digests in either.
func writeArchive(path string, tag name.Tag, image v1.Image) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	archive := &archive{tar: tar.NewWriter(file)}
	archive.addImage(tag, image)
	return errors.Join(archive.err, archive.tar.Close(), file.Close())
}

// archive is a tar that remembers its first error.
type archive struct {
	tar *tar.Writer
	err error
}

func (a *archive) add(path string, content []byte) {
	if a.err != nil {
		return
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: path, Mode: 0o644, Size: int64(len(content)), ModTime: time.Unix(0, 0)}
	if a.err = a.tar.WriteHeader(header); a.err == nil {
		_, a.err = a.tar.Write(content)
	}
}

func (a *archive) addJSON(path string, value any) {
	content, err := json.Marshal(value)
	a.err = errors.Join(a.err, err)
	a.add(path, content)
}

// addBlob adds a blob and returns its path in the archive.
func (a *archive) addBlob(digest v1.Hash, content []byte) string {
	path := "blobs/" + digest.Algorithm + "/" + digest.Hex
	a.add(path, content)
	return path
}

func (a *archive) addImage(tag name.Tag, image v1.Image) {
	manifest, err := image.RawManifest()
	if err != nil {
		a.err = err
		return
	}
	digest, size, err := v1.SHA256(bytes.NewReader(manifest))
	if err != nil {
		a.err = err
		return
	}
	a.addJSON("oci-layout", map[string]string{"imageLayoutVersion": "1.0.0"})
	a.addJSON("index.json", v1.IndexManifest{
		SchemaVersion: 2,
		MediaType:     types.OCIImageIndex,
		Manifests: []v1.Descriptor{{
			MediaType: types.OCIManifestSchema1, Digest: digest, Size: size,
			Annotations: map[string]string{
				"io.containerd.image.name":          tag.Name(),
				"org.opencontainers.image.ref.name": tag.TagStr(),
			},
		}},
	})
	a.addBlob(digest, manifest)
	a.addContents(tag, image)
}

func (a *archive) addContents(tag name.Tag, image v1.Image) {
	config, err := image.RawConfigFile()
	if err != nil {
		a.err = errors.Join(a.err, err)
		return
	}
	configDigest, err := image.ConfigName()
	if err != nil {
		a.err = errors.Join(a.err, err)
		return
	}
	layers, err := image.Layers()
	if err != nil {
		a.err = errors.Join(a.err, err)
		return
	}
	entry := dockerEntry{Config: a.addBlob(configDigest, config), RepoTags: []string{tag.String()}}
	for _, layer := range layers {
		content, digest, err := compressed(layer)
		if err != nil {
			a.err = errors.Join(a.err, err)
			return
		}
		entry.Layers = append(entry.Layers, a.addBlob(digest, content))
	}
	a.addJSON("manifest.json", []dockerEntry{entry})
}

// dockerEntry is an image in the manifest.json of a docker archive.
type dockerEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func compressed(layer v1.Layer) ([]byte, v1.Hash, error) {
	digest, err := layer.Digest()
	if err != nil {
		return nil, v1.Hash{}, err
	}
	reader, err := layer.Compressed()
	if err != nil {
		return nil, v1.Hash{}, err
	}
	content, err := io.ReadAll(reader)
	return content, digest, errors.Join(err, reader.Close())
}
