package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/keyless-id/keyless/internal/atomicfile"
	"github.com/keyless-id/keyless/profile"
	"github.com/keyless-id/keyless/setup"
)

// rendering is where a plan is written as files, and in which form.
type rendering struct {
	format string
	out    string
	force  bool
}

func (r *rendering) addTo(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.format, "format", string(setup.Terraform), "`form`: terraform, cloudformation or commands")
	cmd.Flags().StringVar(&r.out, "out", ".", "`folder` to write to")
	cmd.Flags().BoolVar(&r.force, "force", false, "overwrite files that are there")
}

func (r *rendering) write(w *wish, name string) error {
	spec, err := w.spec(name)
	if err != nil {
		return err
	}
	files, err := setup.Render(spec, setup.Format(r.format))
	if err != nil {
		return usageError{err}
	}
	for _, warning := range spec.Warnings() {
		w.warn(warning)
	}
	for _, file := range files { // all or none
		path := filepath.Join(r.out, file.Name)
		if _, err := os.Lstat(path); err == nil && !r.force {
			return &profile.Error{File: path, Message: "is there already", Hint: "--force overwrites it"}
		}
	}
	for _, file := range files {
		if err := r.place(file); err != nil {
			return err
		}
		fmt.Fprintln(w.stderr, "keyless: wrote "+filepath.Join(r.out, file.Name))
	}
	return nil
}

func (r *rendering) place(file setup.File) error {
	path := filepath.Join(r.out, file.Name)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return unreadable(filepath.Dir(path), err)
	}
	replacement := atomicfile.Replacement{
		Path: path, Temporary: fmt.Sprintf("%s.%d.tmp", path, os.Getpid()), Data: file.Data,
		Prepare: func(f *os.File) error { return f.Chmod(file.Mode) },
	}
	if err := replacement.Write(); err != nil {
		return unreadable(path, err)
	}
	return nil
}
