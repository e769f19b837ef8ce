"""Keeps Beam's job server from sending its own 160 MB of jars with every job: the cluster has the same jars.

Sending them took two thirds of a small job's time. Beam has no option for it, so the class that finds the jars is
shadowed by one which finds none. It takes a Java compiler; without one, jobs are slower and otherwise the same.
"""

import shutil
import subprocess
from pathlib import Path

PACKAGE = "org.apache.beam.sdk.util.construction.resources"

SOURCE = f"""\
package {PACKAGE};
public class ClasspathScanningResourcesDetector implements PipelineResourcesDetector {{
  public ClasspathScanningResourcesDetector(io.github.classgraph.ClassGraph graph) {{}}
  public java.util.List<String> detect(ClassLoader loader) {{ return new java.util.ArrayList<>(); }}
}}
"""


def shadow(jars: Path, folder: Path) -> None:
    """Compile the class against ``jars`` into ``folder``, which a job server's class path then names first."""
    if shutil.which("javac") is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "ClasspathScanningResourcesDetector.java"
    source.write_text(SOURCE)
    command = ["javac", "-nowarn", "-proc:none", "-cp", str(jars / "*"), "-d", str(folder), str(source)]
    if subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120).returncode:
        shutil.rmtree(folder)  # another Beam, perhaps: its own class will do
