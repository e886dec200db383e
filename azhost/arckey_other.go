//go:build !unix

package azhost

import (
	"io/fs"
	"os"
	"path/filepath"
)

const keyFlags = os.O_RDONLY

// arcTokenDir is the documented folder of the agent on Windows.
func arcTokenDir() string {
	return filepath.Join(programData(), "AzureConnectedMachineAgent", "Tokens")
}

// arcAgent is the program whose presence shows that the machine is connected.
func arcAgent() string {
	return filepath.Join(programData(), "AzureConnectedMachineAgent", "himds.exe")
}

// programData is its usual place: the environment is not trusted with it.
func programData() string { return `C:\ProgramData` }

// The folder is the agent's and the administrators' by its access list; there is
// no owner to check.
func agentsOwn(fs.FileInfo) bool { return true }
