// Package conditions compares package trust with an engine for IAM's conditions that was
// not written here: MinIO's. That one's license is the AGPL, so it has a module of its
// own, which nothing imports and no program is built from.
package conditions
