// Command screenshots writes docs/images: the pictures of the dashboard that the pages show,
// from the screenshots that the end-to-end tests leave in dist/screenshots.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

const (
	source = "dist/screenshots"
	target = "docs/images"
	// maxHeight is in pixels: long pages are cut off below it.
	maxHeight = 800
	// maxBytes is the limit of a picture, which stays in the repository's history.
	maxBytes = 100 << 10
)

// shown is a picture in a page, by the name that the tests give it and its color scheme.
var shown = regexp.MustCompile(`images/([a-z-]+)-(light|dark)\.png`)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "screenshots:", err)
		os.Exit(1)
	}
}

func run() error {
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	pictures := map[string]string{}
	for _, page := range append(pages, "README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			return err
		}
		for _, found := range shown.FindAllSubmatch(text, -1) {
			name, scheme := string(found[1]), string(found[2])
			pictures[name+"-"+scheme+".png"] = name + "-wide-" + scheme + ".png"
		}
	}
	for _, to := range slices.Sorted(maps.Keys(pictures)) {
		if err := shrink(filepath.Join(source, pictures[to]), filepath.Join(target, to)); err != nil {
			return err
		}
	}
	return nil
}

// shrink writes the top of a screenshot as a PNG with a palette.
func shrink(from, to string) (err error) {
	file, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; run the end-to-end tests first", err)
	}
	if err != nil {
		return err
	}
	defer file.Close()
	full, err := png.Decode(file)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	bounds := full.Bounds()
	bounds.Max.Y = min(bounds.Max.Y, bounds.Min.Y+maxHeight)
	small := image.NewPaletted(bounds, palette(full, bounds))
	draw.Draw(small, bounds, full, bounds.Min, draw.Src)
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(out, small); err != nil {
		return err
	}
	info, err := out.Stat()
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d KiB\n", to, info.Size()>>10)
	if info.Size() > maxBytes {
		return fmt.Errorf("%s has %d bytes, more than %d: show less of the page", to, info.Size(), maxBytes)
	}
	return nil
}

// palette returns the 256 most frequent colors. The dashboard has few; those that are left out
// smooth the edges of letters.
func palette(of image.Image, bounds image.Rectangle) color.Palette {
	counts := map[color.RGBA]int{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[color.RGBAModel.Convert(of.At(x, y)).(color.RGBA)]++
		}
	}
	colors := slices.SortedFunc(maps.Keys(counts), func(a, b color.RGBA) int {
		return cmp.Or(counts[b]-counts[a], cmp.Compare(rgb(a), rgb(b)))
	})
	var all color.Palette
	for _, c := range colors[:min(len(colors), 256)] {
		all = append(all, c)
	}
	return all
}

func rgb(c color.RGBA) uint32 {
	return uint32(c.R)<<16 | uint32(c.G)<<8 | uint32(c.B)
}
