// Package docs_test looks whether what the documents point at is there.
package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// tests are the names of all tests in the repository, scripts included.
func tests(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	name := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && len(entry.Name()) > 2:
			return fs.SkipDir
		case strings.HasSuffix(path, ".txtar"):
			all["TestScripts/"+strings.TrimSuffix(entry.Name(), ".txtar")] = true
		case strings.HasSuffix(path, "_test.go"):
			data, err := os.ReadFile(path)
			for _, found := range name.FindAllStringSubmatch(string(data), -1) {
				all[found[1]] = true
			}
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestTheThreatModelNamesTestsThatExist(t *testing.T) {
	data, err := os.ReadFile("threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	known := tests(t)
	if !known["TestTheThreatModelNamesTestsThatExist"] || known["TestNobodyWroteThis"] {
		t.Fatal("the tests are not found, or too many are")
	}
	items := 0
	for line := range strings.Lines(string(data)) {
		named := regexp.MustCompile("`(Test[\\w/]+)`").FindAllStringSubmatch(line, -1)
		for _, name := range named {
			if !known[name[1]] {
				t.Errorf("there is no %s", name[1])
			}
		}
		if number, _, ok := strings.Cut(line, ". **"); ok {
			items++
			if n, err := strconv.Atoi(number); err != nil || n != items || len(named) == 0 {
				t.Errorf("item %s stands in the place of %d, or names no test", number, items)
			}
		}
	}
	if items != 26 {
		t.Errorf("%d items, want 26", items)
	}
}

// Every link to another document or file of the repository leads somewhere.
func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:\s]+)(#[^)]*)?\)`)
	files, _ := filepath.Glob("*.md")
	for _, pattern := range []string{"guides/*.md", "adr/*.md", "../*.md", "../bench/*.md", "../interop/*.md"} {
		more, _ := filepath.Glob(pattern)
		files = append(files, more...)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range link.FindAllStringSubmatch(string(data), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), found[1])); err != nil {
				t.Errorf("%s: %s is not there", file, found[1])
			}
		}
	}
}
