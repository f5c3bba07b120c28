package ledger

import (
	"io/fs"
	"strings"
)

// rendered is the file system of the migrations, with the ledger's schema filled in,
// as the migration library reads them.
type rendered struct {
	fs.FS
	schema string
}

func migrationFiles(schema string) (fs.FS, error) {
	folder, err := fs.Sub(files, "migrations")
	return rendered{FS: folder, schema: schema}, err
}

// ReadDir lists the files. The embedded fs.FS can do that too, but its type hides it.
func (r rendered) ReadDir(name string) ([]fs.DirEntry, error) {
	return fs.ReadDir(r.FS, name)
}

func (r rendered) Open(name string) (fs.File, error) {
	file, err := r.FS.Open(name)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(name, ".sql") {
		return file, nil
	}
	text, err := fs.ReadFile(r.FS, name)
	if err != nil {
		return nil, err
	}
	return renderedFile{File: file, text: strings.NewReader(inSchema(r.schema, string(text)))}, nil
}

type renderedFile struct {
	fs.File
	text *strings.Reader
}

func (f renderedFile) Read(p []byte) (int, error) { return f.text.Read(p) }
