//go:build tools

// Package conformance only pins what h2spec is built from: it has no go.mod of its own, so without this its dependencies
// would be whatever is newest on the day.
package conformance

import _ "github.com/summerwind/h2spec/cmd/h2spec"
