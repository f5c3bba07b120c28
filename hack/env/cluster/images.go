//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// image is an image that the cluster itself needs, and its archive.
type image struct{ name, archive string }

// buildImages returns the images that the cluster needs, making those that the cache lacks.
func buildImages(ctx context.Context, bin binaries) ([]image, error) {
	pause, err := buildPause(ctx)
	if err != nil {
		return nil, err
	}
	dns, err := archiveOf(ctx, bin["coredns"], dnsImage)
	return []image{{pauseImage, pause}, {dnsImage, dns}}, err
}

// buildPause returns the archive of the pause image, making it if the cache lacks it.
func buildPause(ctx context.Context) (string, error) {
	modules, err := sourceFolder()
	if err != nil {
		return "", err
	}
	cache, err := cacheFolder()
	if err != nil {
		return "", err
	}
	code, err := os.ReadFile(filepath.Join(modules, "pause", "main.go"))
	if err != nil {
		return "", err
	}
	binary := filepath.Join(cache, fmt.Sprintf("pause-%x", sha256.Sum256(code))[:14], "pause")
	if !exists(binary) {
		say("building the pause image")
		err := runGo(ctx, "pause", "build", "-C", modules, "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", binary, "./pause")
		if err != nil {
			return "", fmt.Errorf("building pause: %w", err)
		}
	}
	return archiveOf(ctx, binary, pauseImage)
}

// archiveOf returns the archive of an image with one binary of the cache. It is made once, in
// the binary's folder.
func archiveOf(ctx context.Context, binary, name string) (string, error) {
	folder := filepath.Dir(binary)
	archive := filepath.Join(folder, "image.tar")
	if exists(archive) {
		return archive, nil
	}
	modules, err := sourceFolder()
	if err != nil {
		return "", err
	}
	unlock, err := lock(ctx, folder, "makes the image "+name)
	if err != nil {
		return "", err
	}
	defer unlock()
	err = runGo(ctx, "image", "run", "-C", filepath.Join(modules, "..", "image"), ".", "--binary", binary,
		"--name", name, "--output", archive+".part")
	if err != nil {
		return "", fmt.Errorf("making the image %s: %w", name, err)
	}
	return archive, os.Rename(archive+".part", archive)
}

// ensureImages imports the images that the cluster needs.
func (c cluster) ensureImages(ctx context.Context, bin binaries, images []image) error {
	list, err := c.ctr(ctx, bin, "images", "list", "--quiet")
	if err != nil {
		return err
	}
	for _, wanted := range images {
		if strings.Contains(list, wanted.name) {
			continue
		}
		if _, err := c.ctr(ctx, bin, "images", "import", wanted.archive); err != nil {
			return err
		}
	}
	return nil
}
