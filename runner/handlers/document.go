package handlers

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/openradius/workspace-jobs/runner"
)

const (
	// maxReportRows and maxReportBytes bound a report, and so the memory that it takes:
	// it is held in memory once as CSV and once as JSON.
	maxReportRows  = 50_000
	maxReportBytes = 16 << 20
)

// document is a query's result as CSV (RFC 4180, with a header line) and as JSON
// (a list of objects).
type document struct {
	names []string
	oids  []uint32
	rows  int
	csv   bytes.Buffer
	json  bytes.Buffer
}

func (d *document) setColumns(fields []pgconn.FieldDescription) error {
	for _, field := range fields {
		if slices.Contains(d.names, field.Name) {
			return runner.Permanent(fmt.Errorf("two columns are named %q: rename one of them with AS", field.Name))
		}
		d.names = append(d.names, field.Name)
		d.oids = append(d.oids, field.DataTypeOID)
	}
	return d.writeCSV(d.names)
}

// add adds one row. Values are in PostgreSQL's text format, nil for NULL.
func (d *document) add(fields []pgconn.FieldDescription, values [][]byte) error {
	if len(d.names) == 0 {
		if err := d.setColumns(fields); err != nil {
			return err
		}
	}
	d.rows++
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = string(value)
	}
	if err := d.writeCSV(texts); err != nil {
		return err
	}
	if err := d.writeJSON(values); err != nil {
		return err
	}
	if d.rows > maxReportRows || max(d.csv.Len(), d.json.Len()) > maxReportBytes {
		return runner.Permanent(fmt.Errorf("the report is too large: at most %d rows and %d MiB fit; use a shorter period or a query that aggregates",
			maxReportRows, maxReportBytes>>20))
	}
	return nil
}

func (d *document) writeCSV(record []string) error {
	if len(record) == 1 && record[0] == "" {
		// Readers skip an empty line instead of reading it as a record.
		_, err := d.csv.WriteString("\"\"\n")
		return err
	}
	writer := csv.NewWriter(&d.csv)
	if err := writer.Write(record); err != nil {
		return err
	}
	writer.Flush()
	return writer.Error()
}

func (d *document) writeJSON(values [][]byte) error {
	if d.json.Len() > 0 {
		d.json.WriteString(",\n")
	}
	for i, value := range values {
		name, err := json.Marshal(d.names[i])
		if err != nil {
			return err
		}
		encoded, err := jsonValue(d.oids[i], value)
		if err != nil {
			return err
		}
		separator := byte(',')
		if i == 0 {
			separator = '{'
		}
		d.json.WriteByte(separator)
		d.json.Write(name)
		d.json.WriteByte(':')
		d.json.Write(encoded)
	}
	d.json.WriteByte('}')
	return nil
}

// jsonValue keeps numbers, booleans and JSON as they are. Everything else becomes a
// string, as do numbers that JSON does not have (NaN, Infinity).
func jsonValue(oid uint32, value []byte) ([]byte, error) {
	if value == nil {
		return []byte("null"), nil
	}
	// OIDs of types, as in pg_type.
	const (
		boolType                            = 16
		int8Type, int2Type, int4Type        = 20, 21, 23
		float4Type, float8Type, numericType = 700, 701, 1700
		jsonType, jsonbType                 = 114, 3802
	)
	switch oid {
	case boolType:
		if string(value) == "t" {
			return []byte("true"), nil
		}
		return []byte("false"), nil
	case int8Type, int2Type, int4Type, float4Type, float8Type, numericType, jsonType, jsonbType:
		if json.Valid(value) {
			return value, nil
		}
	}
	return json.Marshal(string(value))
}

// finish returns the whole document.
func (d *document) finish() (csvText, jsonText string) {
	return d.csv.String(), "[" + d.json.String() + "]"
}
