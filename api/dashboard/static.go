package dashboard

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed static
var embedded embed.FS

// staticFiles has what pages load, by its path below static. staticVersion changes with any
// of them.
var staticFiles, staticVersion = readStatic()

func readStatic() (map[string][]byte, string) {
	files, sum := map[string][]byte{}, sha256.New()
	err := fs.WalkDir(embedded, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := embedded.ReadFile(name)
		files[strings.TrimPrefix(name, "static/")] = content
		sum.Write([]byte(name))
		sum.Write(content)
		return err
	})
	if err != nil {
		panic(err) // embedded files can be read
	}
	return files, hex.EncodeToString(sum.Sum(nil))[:16]
}

// staticTypes are fixed, since those that Go finds depend on the machine.
var staticTypes = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
	".md": "text/plain; charset=utf-8", ".LICENSE": "text/plain; charset=utf-8",
}

func asset(name string) string { return own + "/static/" + staticVersion + "/" + name }

// serveStatic serves a file. Its content never changes, since its path has the version.
func serveStatic(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	content, ok := staticFiles[name]
	if !ok || r.PathValue("version") != staticVersion {
		http.Error(w, noSuchPage, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", staticTypes[path.Ext(name)])
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(content)
}
