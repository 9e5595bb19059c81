import { Course } from "./course";

export default async function Page({ params }: { params: Promise<{ course: string }> }) {
  const { course } = await params;
  return (
    <main>
      <Course course={decodeURIComponent(course)} />
    </main>
  );
}
